package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/config"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const configNotes = `Print the settings in force and where each came from: its default, a line of the
file, an environment variable, a credential of the service manager or the command
line. It takes the flags of serve, so that the same command line and environment
show what a server would be run with. Secrets are not shown.

    danmakud config --check FILE   what is wrong with a file, by its lines
    danmakud config --example      a file with every setting at its default

Exit status: 0 if a server would start with that, 1 if it would not.`

func (p *program) configCommand() *cobra.Command {
	c := new(config.Config)
	var format, check string
	var example bool
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Print the settings and their origins, check a file, or print an example",
		Long:  configNotes,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case example:
				return config.WriteExample(p.stdout)
			case cmd.Flags().Changed("check"):
				return p.checkFile(check)
			}
			return p.showConfig(cmd, c, format)
		},
	}
	cmd.Flags().StringVar(&check, "check", "", "say what is wrong with `FILE`, and what is unwise in it; of other files only those that it names are read")
	cmd.Flags().BoolVar(&example, "example", false, "print a file with every setting at its default, commented out")
	cmd.Flags().StringVar(&format, "format", "table", "`FORMAT` of the settings: table, toml or json")
	cmd.MarkFlagsMutuallyExclusive("check", "example", "format")
	cmd.MarkFlagFilename("check", "toml")
	cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"table", "toml", "json"}, cobra.ShellCompDirectiveNoFileComp))
	bindHidden(c, cmd)
	return cmd
}

// bindHidden gives cmd the flags of serve without listing them in its help.
func bindHidden(c *config.Config, cmd *cobra.Command) {
	settings := pflag.NewFlagSet("", pflag.ContinueOnError)
	c.Bind(settings)
	settings.VisitAll(func(f *pflag.Flag) { f.Hidden = true })
	cmd.Flags().AddFlagSet(settings)
}

// checkFile prints problems and warnings, a line each.
func (p *program) checkFile(path string) error {
	problems, warnings := config.Check(path)
	for _, text := range problems {
		fmt.Fprintln(p.stdout, text)
	}
	for _, text := range warnings {
		fmt.Fprintln(p.stdout, text+" (warning)")
	}
	if len(problems) > 0 {
		return errSilent
	}
	return nil
}

// showConfig prints all settings to standard output; what is wrong or unwise with
// them goes to standard error.
func (p *program) showConfig(cmd *cobra.Command, c *config.Config, format string) error {
	sources, err := c.Load(cmd.Flags(), p.lookupEnv)
	if err != nil {
		return err
	}
	switch format {
	case "table":
		err = p.printSettings(c.List())
	case "toml":
		err = c.WriteTOML(p.stdout)
	case "json":
		e := json.NewEncoder(p.stdout)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		err = e.Encode(c.List())
	default:
		return fmt.Errorf("--format %q: want table, toml or json", format)
	}
	if err != nil {
		return err
	}
	for _, name := range config.UnknownEnv(p.environ) {
		fmt.Fprintf(p.stderr, "warning: %s: is no setting\n", name)
	}
	for _, text := range sources.Warnings {
		fmt.Fprintf(p.stderr, "warning: %s\n", text)
	}
	for _, a := range c.Advice() {
		fmt.Fprintf(p.stderr, "warning: --%s\n", a)
	}
	return c.Validate()
}

func (p *program) printSettings(list []config.Setting) error {
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SETTING\tVALUE\tORIGIN")
	for _, s := range list {
		value := s.Value
		if value == "" {
			value = `""`
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", s.Name, value, s.Origin)
	}
	return w.Flush()
}
