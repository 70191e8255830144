package main

import (
	"fmt"

	"github.com/danmakud/danmakud/cmd/danmakud/internal/doctor"

	"github.com/spf13/cobra"
)

// doctorConnectionsMax is what the handles of a server can name.
const doctorConnectionsMax = 1 << 24

func (p *program) doctorCommand() *cobra.Command {
	var connections int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check this host for a wanted number of connections",
		Long: "Check this host for a wanted number of connections, and print the commands that\n" +
			"change what is too small. Nothing is changed. Run it where the server will run:\n" +
			"in the same container, as the same user.\n\n" +
			"Exit status: 0 if the host can hold them (warnings allowed), 1 if it cannot.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if connections < 1 || connections > doctorConnectionsMax {
				return fmt.Errorf("--connections %d: want 1 to %d", connections, doctorConnectionsMax)
			}
			r := doctor.Examine(p.host, connections)
			write := r.WriteText
			if asJSON {
				write = r.WriteJSON
			}
			if err := write(p.stdout); err != nil {
				return err
			}
			if !r.Passed {
				return errSilent
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&connections, "connections", 10000, "connections the host should hold at one time")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
