package stack

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
)

// listen takes a port of 127.0.0.1 for something, and says who can make room
// when it is taken.
func listen(what, flag string, port int) (net.Listener, error) {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("port %d, on which %s would listen, is taken: stop what uses it (`lsof -i :%d` shows it), or choose another port with %s or %s, where 0 is any free one",
			port, what, port, variable(flag), flag)
	}
	if err != nil {
		return nil, fmt.Errorf("listen for %s: %w", what, err)
	}
	return l, nil
}

// variable is the one that stands for a flag.
func variable(flag string) string {
	return "STOWAGE_" + strings.ToUpper(strings.ReplaceAll(strings.TrimPrefix(flag, "--"), "-", "_"))
}

// Check says what would keep Start from beginning: another runtime in the state directory,
// state of another version, a full disk, a port that is taken. It looks at nothing else, so
// that it can be asked before there is anything to run.
func Check(cfg Config) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	taken, err := lockState(cfg.State, cfg.Reset)
	if err != nil {
		return err
	}
	return errors.Join(checkPorts(cfg), taken.close())
}

func checkPorts(cfg Config) error {
	ports := []struct {
		what, flag string
		port       int
	}{
		{gatewayName, "--gateway-port", cfg.GatewayPort},
		{"the HTTP API", "--api-port", cfg.APIPort},
		{"the token issuer", "--issuer-port", cfg.IssuerPort},
		{"the console", "--console-port", cfg.ConsolePort},
	}
	var errs []error
	for _, p := range ports {
		if p.flag == "--console-port" && cfg.ConsoleMayMove {
			continue
		}
		l, err := listen(p.what, p.flag, p.port)
		if err == nil {
			err = l.Close()
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func address(l net.Listener) string { return "http://" + l.Addr().String() }
