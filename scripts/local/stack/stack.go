// Package stack runs a whole assembly on this machine: an engine for each store
// that the templates declare, the gateway in front of them, the functions behind
// a Runtime API, the sources, bus, APIs and token issuer around them.
//
// Start returns when everything is ready. From then on it promises what the
// parts promise; when an engine dies the stack says which through Failed, and
// its owner closes it. Close stops everything in the reverse order of the start
// and returns when no process and no goroutine is left. Were the process killed
// instead, the kernel ends the children and frees the lock, and the next start
// takes up what was under way.
package stack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/stowage-dev/stowage/scripts/local/api"
	"github.com/stowage-dev/stowage/scripts/local/assembly"
	"github.com/stowage-dev/stowage/scripts/local/authority"
	"github.com/stowage-dev/stowage/scripts/local/build"
	"github.com/stowage-dev/stowage/scripts/local/bus"
	"github.com/stowage-dev/stowage/scripts/local/chaos"
	"github.com/stowage-dev/stowage/scripts/local/console"
	"github.com/stowage-dev/stowage/scripts/local/custom"
	"github.com/stowage-dev/stowage/scripts/local/engines/dynamodb"
	"github.com/stowage-dev/stowage/scripts/local/engines/s3"
	"github.com/stowage-dev/stowage/scripts/local/gateway"
	"github.com/stowage-dev/stowage/scripts/local/gateway/identity"
	"github.com/stowage-dev/stowage/scripts/local/iam/authorize"
	"github.com/stowage-dev/stowage/scripts/local/iam/usage"
	"github.com/stowage-dev/stowage/scripts/local/issuer"
	"github.com/stowage-dev/stowage/scripts/local/lambda"
	"github.com/stowage-dev/stowage/scripts/local/queue"
	"github.com/stowage-dev/stowage/scripts/local/sources"
	"github.com/stowage-dev/stowage/scripts/local/template"
)

// Stack is a running assembly. It is safe for concurrent use.
type Stack struct {
	// Model is what the templates declared when the stack was started. It must not be changed.
	Model *template.Model
	// The parts, for tests and tools that look inside.
	Host     *lambda.Host
	Broker   *queue.Broker
	Bus      *bus.Bus
	Issuer   *issuer.Issuer
	Gateway  *gateway.Gateway
	APIs     []*api.Server
	DynamoDB *dynamodb.Engine
	S3       *s3.Engine
	// Databases are those that the templates declare.
	Databases []*Database
	Chaos     *chaos.Chaos // may be told to make things go wrong; its handler is the test API

	cfg      Config
	account  string
	region   string
	state    state
	progress *progress
	admin    identity.Credentials

	credentials *identity.Issuer
	masterKey   []byte
	listeners   map[string]net.Listener // by apiName, and gatewayName
	apiReserved bool                    // whether the first API has its port
	runner      *sources.Runner
	notifier    *sources.Notifier
	console     *console.Console
	tracing     *tracing
	roles       replaceable // the token service
	functions   *functions
	present     atomic.Pointer[template.Model] // what is declared now, after changes in place
	access      atomic.Pointer[authorize.Authorizer]
	network     atomic.Pointer[networkPolicies]
	used        *usage.Recorder      // nil: nobody keeps what is used
	telemetry   sync.Map             // functions whose right to write logs was asked for
	authority   *authority.Authority // of the databases' certificates; nil without databases
	custom      *custom.Runner

	closing chan struct{}
	once    sync.Once
	mu      sync.Mutex // guards closers during the start
	closers []closer
	failed  chan error
}

// closer undoes one step of the start.
type closer struct {
	what string
	f    func() error
}

// Start runs the assembly. ctx bounds the start alone: the stack runs until Close.
func Start(ctx context.Context, cfg Config) (*Stack, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Stack{
		cfg: cfg, progress: &progress{out: cfg.Progress}, listeners: map[string]net.Listener{},
		closing: make(chan struct{}), failed: make(chan error, 1),
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Failed receives why the stack can no longer work: an engine has died.
func (s *Stack) Failed() <-chan error { return s.failed }

// Close stops everything. It may be called more than once.
func (s *Stack) Close() error {
	var errs []error
	s.once.Do(func() {
		close(s.closing)
		if s.state.lock != nil {
			errs = append(errs, s.removeDev()) // first: from here on nothing is ready
		}
		for _, c := range slices.Backward(s.closers) {
			if err := c.f(); err != nil {
				errs = append(errs, fmt.Errorf("stop %s: %w", c.what, err))
			}
		}
	})
	return errors.Join(errs...)
}

func (s *Stack) onClose(what string, f func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closers = append(s.closers, closer{what, f})
}

// start brings the parts up, each after what it needs. Compiling the functions
// takes longest, so it goes on beside the engine of the tables.
func (s *Stack) start(ctx context.Context) error {
	var err error
	if s.state, err = openState(s.cfg.State, s.cfg.Reset); err != nil {
		return err
	}
	s.onClose("the state", s.state.close)
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	var background sync.WaitGroup
	background.Go(func() { s.state.watchDisk(life, s.cfg.Logger) })
	s.onClose("background work", func() error {
		end()
		background.Wait()
		return nil
	})
	defer context.AfterFunc(ctx, end)() // until the start is over, whoever gives it up ends everything

	for _, step := range []func() error{s.loadModel, s.openIdentity, s.openAccess, s.openQueues} {
		if err := step(); err != nil {
			return err
		}
	}
	s.openChaos()
	if err := s.openConsole(); err != nil {
		return err
	}
	var early errgroup.Group
	var binaries []build.Result
	early.Go(func() error { return s.startDynamoDB(life) })
	early.Go(func() error { return s.startDatabases(life) })
	early.Go(func() error {
		return s.progress.step("building the functions for this machine", func() error {
			binaries = s.build(ctx, s.Model.Functions)
			return context.Cause(ctx)
		})
	})
	if err := early.Wait(); err != nil {
		return err //nolint:wrapcheck // the parts name themselves
	}
	return s.startServices(life, binaries)
}

// startServices starts what needs the tables and the functions. The S3 engine
// tells of changes that a killed run left untold as soon as it starts, so what
// takes them is there before. Functions may call the gateway before it serves:
// its port is open, and their calls wait.
func (s *Stack) startServices(ctx context.Context, binaries []build.Result) error {
	if err := s.startHost(ctx, binaries); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{
		s.startCustomResources, s.startBus, s.startS3, s.startSources, s.startGateway, s.startIssuer, s.startAPIs, s.startConsole,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// loadModel takes the ports that names depend on, then resolves the assembly.
func (s *Stack) loadModel() error {
	a, err := assembly.Load(s.cfg.Assembly)
	if err != nil {
		return err
	}
	s.account, s.region = a.Account(), a.Region()
	gatewayListener, err := listen("the gateway", "--gateway-port", s.cfg.GatewayPort)
	if err != nil {
		return err
	}
	s.hold(gatewayName, gatewayListener)
	resources, err := a.Resolve(assembly.Environment{GatewayURL: address(gatewayListener), APIEndpoint: s.reserveAPI, DatabaseEndpoint: s.reserveDatabase})
	if err != nil {
		return fmt.Errorf("resolve %s: %w", s.cfg.Assembly, err)
	}
	if s.Model, err = template.Decode(resources); err != nil {
		return fmt.Errorf("read %s: %w", s.cfg.Assembly, err)
	}
	s.present.Store(s.Model)
	return checkTargets(s.Model)
}

// gatewayName is the gateway's key among the listeners.
const gatewayName = "the gateway"

// reserveAPI takes the port of one HTTP API: the configured one for the first.
func (s *Stack) reserveAPI(stack, logicalID string) (string, error) {
	port := 0
	if !s.apiReserved {
		port, s.apiReserved = s.cfg.APIPort, true
	}
	l, err := listen("the HTTP API "+logicalID, "--api-port", port)
	if err != nil {
		return "", err
	}
	s.hold(apiName(stack, logicalID), l)
	return address(l), nil
}

// apiName is an API's key among the listeners.
func apiName(stack, logicalID string) string { return stack + "/" + logicalID }

// hold keeps a listener until something serves on it, and frees it in any case.
func (s *Stack) hold(name string, l net.Listener) {
	s.listeners[name] = l
	s.onClose("the listener of "+name, func() error {
		_ = l.Close() // whoever serves on it has closed it already
		return nil
	})
}

// watch passes on the death of an engine.
func (s *Stack) watch(died <-chan error) {
	go func() {
		select {
		case <-s.closing:
		case err := <-died:
			select {
			case <-s.closing:
			case s.failed <- err:
			default: // one death is enough
			}
		}
	}()
}
