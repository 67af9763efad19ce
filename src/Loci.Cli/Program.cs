using Loci.Cli;
using Loci.Cli.Terminal;

Visible.Install();
return Door.Run(() => CommandLine.Run(args));
