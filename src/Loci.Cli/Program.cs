using Loci.Cli;
using Loci.Cli.Terminal;

return Door.Run(() => CommandLine.Run(args));
