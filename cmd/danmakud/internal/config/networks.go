package config

import (
	"errors"
	"fmt"
	"net/netip"
)

// Networks returns the networks of a list such as --trusted-proxy has: CIDR, or a
// single address.
func Networks(list []string) ([]netip.Prefix, error) {
	networks := make([]netip.Prefix, 0, len(list))
	var errs []error
	for _, text := range list {
		network, err := parseNetwork(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("%q: %w", text, err))
			continue
		}
		networks = append(networks, network)
	}
	return networks, errors.Join(errs...)
}

func parseNetwork(text string) (netip.Prefix, error) {
	errForm := errors.New("want a network such as 10.0.0.0/8 or fd00::/8, or an address")
	network, err := netip.ParsePrefix(text)
	if err != nil {
		address, err := netip.ParseAddr(text)
		if err != nil || address.Zone() != "" {
			return network, errForm
		}
		network = netip.PrefixFrom(address, address.BitLen())
	}
	switch {
	case network.Addr().Is4In6():
		return network, errors.New("write IPv4 networks as IPv4")
	case network != network.Masked():
		return network, fmt.Errorf("has bits behind its mask; did you mean %v?", network.Masked())
	}
	return network, nil
}

func checkNetworks(flag string, value func(*Config) []string) func(*Config) error {
	return func(c *Config) error {
		var errs []error
		for _, text := range value(c) {
			if _, err := parseNetwork(text); err != nil {
				errs = append(errs, fmt.Errorf("--%s %q: %w", flag, text, err))
			}
		}
		return errors.Join(errs...)
	}
}
