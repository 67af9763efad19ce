using Loci.Cli;
using Loci.Cli.Terminal;

return Door.Open(() => CommandLine.Run(args));
