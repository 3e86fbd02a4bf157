package stack

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

// listen takes a port of 127.0.0.1 for something, and says who can make room
// when it is taken.
func listen(what, flag string, port int) (net.Listener, error) {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("port %d, on which %s would listen, is taken: stop what uses it (`lsof -i :%d` shows it), or choose another port with %s, where 0 is any free one",
			port, what, port, flag)
	}
	if err != nil {
		return nil, fmt.Errorf("listen for %s: %w", what, err)
	}
	return l, nil
}

func address(l net.Listener) string { return "http://" + l.Addr().String() }
