using Loci.Cli;
using Loci.Cli.Terminal;

StandardInput.Install();
Visible.Install();
return Door.Run(() => CommandLine.Run(args));
