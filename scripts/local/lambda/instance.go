package lambda

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/child"
)

// shutdownGrace is what a process that asked for SIGTERM gets to finish.
// Source: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
const shutdownGrace = 500 * time.Millisecond

// errNotTaken says that the process ended before it fetched the invocation, so
// that another may serve it.
var errNotTaken = errors.New("the process ended before it took the invocation")

// instance is one process of a function: what AWS calls an execution environment.
type instance struct {
	host       *Host
	fn         *function
	config     *Function // of the function when the process started
	token      string    // names it in the path of its Runtime API
	generation int
	started    time.Time
	proc       *child.Process
	log        *logStream
	// accessKeyID is of the process's own credentials; empty: it has none.
	accessKeyID string

	inbox     chan *invocation // what the process is to fetch next
	ready     chan struct{}    // closed at its first request for work
	readyOnce sync.Once
	extension atomic.Bool // registered as an extension: SIGTERM before SIGKILL

	initFailure atomic.Pointer[outcome] // what it said of its failed initialization

	mu      sync.Mutex
	current *invocation // fetched and not yet answered
	// disturbance follows the present run; nil: it is left alone.
	disturbance Disturbance

	lastUsed time.Time // guarded by Host.mu
}

// startInstance starts a process of fn's present binary.
func (h *Host) startInstance(fn *function) (*instance, error) {
	h.mu.Lock()
	inst := &instance{
		host:       h,
		fn:         fn,
		config:     fn.config.Load(),
		token:      newToken(),
		generation: fn.generation,
		started:    h.cfg.Now(),
		log:        fn.log.stream(),
		inbox:      make(chan *invocation, 1),
		ready:      make(chan struct{}),
	}
	closed := h.closed
	h.instances[inst.token] = inst
	h.mu.Unlock()
	if closed {
		h.forget(inst)
		return nil, errors.New("the local Lambda host is stopping")
	}
	proc, err := h.startProcess(inst)
	if err != nil {
		h.forget(inst)
		return nil, err
	}
	h.mu.Lock()
	inst.proc = proc
	closed = h.closed
	h.mu.Unlock()
	h.work.Go(func() {
		<-proc.Done()
		inst.log.flush()
		h.forget(inst)
	})
	if closed { // Close may have missed it while it was being started
		inst.shutdown(0)
		return nil, errors.New("the local Lambda host is stopping")
	}
	return inst, nil
}

func (h *Host) startProcess(inst *instance) (*child.Process, error) {
	var credentials Credentials
	if h.cfg.Credentials != nil {
		var err error
		if credentials, err = h.cfg.Credentials(context.Background(), inst.fn.name); err != nil {
			return nil, &credentialsError{err}
		}
	}
	inst.accessKeyID = credentials.AccessKeyID
	command := inst.config.Command
	if len(command) == 0 {
		return nil, fmt.Errorf("start function %s: it was not built: %s", inst.fn.name, inst.config.BuildError)
	}
	dir := taskRoot(inst.config.Dir, command[0])
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = dir
	cmd.Env = h.environment(inst, dir, credentials)
	cmd.Stdout = inst.log
	cmd.Stderr = inst.log
	proc, err := child.Start(cmd)
	if err != nil {
		return nil, fmt.Errorf("start function %s: %w", inst.fn.name, err)
	}
	return proc, nil
}

// credentialsError says that a process got no credentials.
type credentialsError struct{ err error }

func (e *credentialsError) Error() string { return "get credentials: " + e.err.Error() }
func (e *credentialsError) Unwrap() error { return e.err }

// serve hands inv to the process and waits for its end.
func (inst *instance) serve(inv *invocation) (outcome, error) {
	inst.inbox <- inv
	timer := time.NewTimer(inv.timeout)
	defer timer.Stop()
	taken := inv.taken
	for {
		select {
		case end := <-inv.result:
			return end, nil
		case <-taken: // its time runs from here
			timer.Reset(inv.timeout)
			taken = nil
		case <-inst.proc.Done():
			return inst.ended(inv)
		case <-timer.C:
			select {
			case end := <-inv.result: // answered just in time
				return end, nil
			default:
			}
			inst.shutdown(0)
			return failure(errorTimeout, timeoutMessage(inst.host.cfg.Now(), inv.requestID, inv.timeout)), nil
		}
	}
}

// ended is the outcome of an invocation whose process is gone.
func (inst *instance) ended(inv *invocation) (outcome, error) {
	select {
	case end := <-inv.result: // it answered before it died
		end.reset = true
		return end, nil
	default:
	}
	select {
	case <-inv.taken:
		return inst.exitFailure(inv), nil
	default:
	}
	if inst.host.isClosed() {
		return failure(errorStopping, "RequestId: "+inv.requestID+" Error: the local Lambda host is stopping"), nil
	}
	return outcome{}, errNotTaken
}

// exitFailure describes the end of the process as Lambda does.
func (inst *instance) exitFailure(inv *invocation) outcome {
	if told := inst.initFailure.Load(); told != nil {
		return *told
	}
	reason := "Runtime exited without providing a reason"
	var exit *exec.ExitError
	if err := inst.proc.Err(); errors.As(err, &exit) {
		reason = "Runtime exited with error: " + exit.String()
	}
	return failure(errorExit, fmt.Sprintf("RequestId: %s Error: %s", inv.requestID, reason))
}

// next waits for an invocation and makes it the current one. It is nil when the
// process that asks is gone.
func (inst *instance) next(gone <-chan struct{}) *invocation {
	inst.readyOnce.Do(func() { close(inst.ready) })
	select {
	case inv := <-inst.inbox:
		inst.mu.Lock()
		inst.current = inv
		inst.mu.Unlock()
		close(inv.taken)
		return inv
	case <-gone:
		return nil
	}
}

// answer ends the current invocation, and says whether requestID is that one.
func (inst *instance) answer(requestID string, end outcome) bool {
	inst.mu.Lock()
	inv := inst.current
	if inv == nil || inv.requestID != requestID {
		inst.mu.Unlock()
		return false
	}
	inst.current = nil
	inst.mu.Unlock()
	inv.result <- end
	return true
}

// serving says whether requestID is the current invocation.
func (inst *instance) serving(requestID string) bool {
	inst.mu.Lock()
	defer inst.mu.Unlock()
	return inst.current != nil && inst.current.requestID == requestID
}

// shutdown ends the process and returns when it is gone. Only a process that
// registered as an extension gets the grace.
func (inst *instance) shutdown(grace time.Duration) {
	inst.host.mu.Lock()
	proc := inst.proc
	inst.host.mu.Unlock()
	if proc == nil { // not started yet; startInstance sees that the host is closed
		return
	}
	if !inst.extension.Load() {
		grace = 0
	}
	if err := proc.Stop(grace); err != nil {
		inst.host.cfg.Logger.Error("function's process did not stop", "function", inst.fn.name, "pid", proc.PID(), "error", err)
	}
}

// newToken names an instance so that no other local process can guess its way
// into the Runtime API of a function.
func newToken() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// peakMemoryMB is the peak resident memory of a process, or 0 where the system
// does not tell.
func peakMemoryMB(pid int) int {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	_, rest, found := strings.Cut(string(status), "VmHWM:")
	if !found {
		return 0
	}
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kilobytes, err := strconv.Atoi(fields[0])
	if err != nil {
		return 0
	}
	return (kilobytes + 1023) / 1024
}
