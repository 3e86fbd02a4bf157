// Package child starts the processes of the local runtime (engines, functions)
// so that none of them outlives it.
//
// Each process leads a process group of its own, so that Ctrl-C in a terminal
// reaches the runtime alone, which then stops its children in order, and so
// that stopping a child stops what the child started too. On Linux the kernel
// kills the child when the runtime dies, however it dies: kill -9 leaves no
// process behind. (Other systems have no such signal; there a runtime that is
// killed with -9 leaves its children running.)
//
// All methods are safe for concurrent use.
package child

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// pipeDelay is how long Wait goes on reading a dead child's output when a
// grandchild still holds the pipe open.
const pipeDelay = time.Second

// Process is a running, or finished, child.
type Process struct {
	cmd    *exec.Cmd
	stderr *tail
	done   chan struct{}
	err    error // how it ended; written before done is closed

	mu     sync.Mutex
	reaped bool // its pid may be somebody else's from here on
}

// Start starts cmd. Its SysProcAttr is set here, keeping what the caller put
// into it; the end of its standard error is kept for Err, beside going to
// cmd.Stderr when that is set.
func Start(cmd *exec.Cmd) (*Process, error) {
	p := &Process{cmd: cmd, stderr: &tail{}, done: make(chan struct{})}
	p.keepStderr()
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	dieWithParent(cmd.SysProcAttr)
	if cmd.Cancel != nil { // made by exec.CommandContext
		cmd.Cancel = func() error { return p.signal(syscall.SIGKILL) }
	}
	if cmd.WaitDelay == 0 {
		cmd.WaitDelay = pipeDelay
	}
	started := make(chan error, 1)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(cmd.Path), err)
	}
	return p, nil
}

// keepStderr makes standard error go to the tail too. Where the caller gave one
// writer for both outputs it must stay one: os/exec then copies from one
// goroutine, so that the writer need not be safe for concurrent use.
func (p *Process) keepStderr() {
	if p.cmd.Stderr == nil {
		p.cmd.Stderr = p.stderr
		return
	}
	both := p.cmd.Stdout != nil && sameWriter(p.cmd.Stdout, p.cmd.Stderr)
	p.cmd.Stderr = &unfailing{io.MultiWriter(p.stderr, p.cmd.Stderr)}
	if both {
		p.cmd.Stdout = p.cmd.Stderr
	}
}

// unfailing drops what a writer does not take. Were the error passed on, the pipe
// would be closed, and a process that writes to a closed pipe dies: of a full disk
// that its log is on.
type unfailing struct{ to io.Writer }

func (u *unfailing) Write(b []byte) (int, error) {
	_, _ = u.to.Write(b)
	return len(b), nil
}

// sameWriter compares writers whose types may not be comparable.
func sameWriter(a, b io.Writer) (same bool) {
	defer func() {
		if recover() != nil {
			same = false
		}
	}()
	return a == b
}

// run starts the process and waits for it on one OS thread: the parent-death
// signal fires when the thread that forked ends, not the process, and a thread
// of its own costs nothing because waiting blocks one anyway.
func (p *Process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := p.cmd.Start(); err != nil {
		started <- err
		return
	}
	started <- nil
	err := p.cmd.Wait()
	p.mu.Lock()
	p.reaped = true
	p.mu.Unlock()
	if errors.Is(err, exec.ErrWaitDelay) { // it ended well; only its pipe lingered
		err = nil
	}
	if err != nil {
		p.err = fmt.Errorf("%s: %w%s", filepath.Base(p.cmd.Path), err, p.stderr.suffix())
	}
	close(p.done)
}

// PID is the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed once the process has ended and been reaped.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says how the process ended, with the end of its standard error: nil while
// it runs and when it exited with 0.
func (p *Process) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// ExitCode is the exit code, or -1 while the process runs or when a signal
// ended it.
func (p *Process) ExitCode() int {
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	default:
		return -1
	}
}

// Stderr is the end of what the process has written to standard error.
func (p *Process) Stderr() string { return p.stderr.String() }

// Stop asks the process group to terminate, kills it when the grace is over,
// and returns when the process is gone. A grace of zero kills at once.
func (p *Process) Stop(grace time.Duration) error {
	if grace > 0 {
		if err := p.signal(syscall.SIGTERM); err != nil {
			return err
		}
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-p.done:
			return nil
		case <-timer.C:
		}
	}
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return nil
}

// Freeze stops the process group where it is, as SIGSTOP does. Stop with a grace
// of zero ends it from there.
func (p *Process) Freeze() error { return p.signal(syscall.SIGSTOP) }

// Signal reaches the process itself and not what it started: for one that ends its
// own children in order. A process that has ended is no error.
func (p *Process) Signal(s syscall.Signal) error { return p.send(s, p.cmd.Process.Pid) }

// signal reaches the whole process group. A process that has ended is no error:
// it is what the caller wants.
func (p *Process) signal(s syscall.Signal) error { return p.send(s, -p.cmd.Process.Pid) }

func (p *Process) send(s syscall.Signal, to int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return nil
	}
	err := syscall.Kill(to, s)
	if err == nil || errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return fmt.Errorf("signal %s (pid %d): %w", filepath.Base(p.cmd.Path), p.cmd.Process.Pid, os.NewSyscallError("kill", err))
}

// tailSize is enough for a panic's message and the first frames of its stack.
const tailSize = 4 << 10

// tail keeps the last tailSize bytes written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if over := len(t.buf) - tailSize; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.buf)
}

// suffix is the tail as the end of an error message.
func (t *tail) suffix() string {
	s := strings.TrimSpace(t.String())
	if s == "" {
		return ""
	}
	return ": " + s
}
