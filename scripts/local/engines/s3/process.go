package s3

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/rpc"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
	"github.com/versity/versitygw/s3api"
	"github.com/versity/versitygw/s3err"

	"github.com/stowage-dev/stowage/scripts/local/gateway/identity"
)

// rootUser owns the buckets. Its secret is the issuer's, so that nobody outside can know it.
const rootUser = "stowage-s3-root"

// bindAttempts is how often a free port is looked for: between finding one and binding it, somebody
// else may take it.
const bindAttempts = 10

// Main is the engine's process: it reads its settings from stdin and serves until it is killed. It
// returns the exit code.
func Main(argv []string, stdin io.Reader) int {
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if len(argv) > 2 {
		logger.Error("the S3 engine takes its settings from standard input alone", "arguments", argv[2:])
		return 2
	}
	logger.Error("the S3 engine has stopped", "error", serve(stdin, logger))
	return 1
}

// serve returns why it could not, or could not any longer.
func serve(stdin io.Reader, logger *slog.Logger) error {
	var set settings
	if err := json.NewDecoder(stdin).Decode(&set); err != nil {
		return fmt.Errorf("read the settings: %w", err)
	}
	issuer, err := identity.New(identity.Config{MasterKey: set.MasterKey})
	if err != nil {
		return fmt.Errorf("check the settings: %w", err)
	}
	for _, arn := range set.Users {
		issuer.IssueUser(arn)
	}
	toRuntime, err := inherited(toRuntimeFD)
	if err != nil {
		return err
	}
	toEngine, err := inherited(toEngineFD)
	if err != nil {
		return err
	}
	out, err := openOutbox(filepath.Join(set.Dir, "outbox"), time.Now)
	if err != nil {
		return err
	}
	store, err := openStore(set.Dir)
	if err != nil {
		return err
	}
	ctx := context.Background()
	for _, b := range set.Buckets {
		if err := createBucket(ctx, store, b); err != nil {
			return fmt.Errorf("bucket %s: %w", b.Name, err)
		}
	}
	runtime := rpc.NewClient(toRuntime)
	n := &notifying{
		Backend: store, outbox: out, now: time.Now,
		tell: &teller{runtime: runtime, outbox: out, logger: logger},
	}
	if err := answerRuntime(toEngine, store); err != nil {
		return err
	}
	if err := n.recover(ctx); err != nil {
		return err
	}
	return listen(ctx, n, accounts{issuer: issuer}, set, func(address string) error {
		return runtime.Call(callReady, address, new(nothing))
	})
}

// inherited is one of the sockets that the runtime passed on.
func inherited(fd uintptr) (net.Conn, error) {
	f := os.NewFile(fd, "runtime")
	defer f.Close() // FileConn has made a copy
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("use file descriptor %d: it must be a socket to the runtime: %w", fd, err)
	}
	return conn, nil
}

// openStore opens the storage below dir. It changes the working directory.
func openStore(dir string) (backend.Backend, error) {
	root, versions, long := filepath.Join(dir, "objects"), filepath.Join(dir, "versions"), filepath.Join(dir, "attributes")
	for _, d := range []string{root, versions, long} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("open the object store: %w", err)
		}
	}
	attrs, err := newAttributes(root, long)
	if err != nil {
		return nil, fmt.Errorf("open the object store: %w", err)
	}
	store, err := posix.New(root, attrs, posix.PosixOpts{VersioningDir: versions, CopyObjectThreshold: 5 << 30})
	if err != nil {
		return nil, fmt.Errorf("open the object store: %w", err)
	}
	return store, nil
}

// createBucket creates a bucket, unless it exists, and sets it up as it is configured now.
func createBucket(ctx context.Context, store backend.Backend, b Bucket) error {
	acl, err := json.Marshal(auth.ACL{Owner: rootUser})
	if err != nil {
		return fmt.Errorf("encode its ACL: %w", err)
	}
	owned := context.WithValue(ctx, "bucket-owner", auth.Account{Access: rootUser, Role: auth.RoleAdmin}) //nolint:staticcheck // the engine looks for a plain string
	err = store.CreateBucket(owned, &s3.CreateBucketInput{
		Bucket:                    &b.Name,
		CreateBucketConfiguration: &types.CreateBucketConfiguration{},
		ObjectOwnership:           types.ObjectOwnershipBucketOwnerEnforced,
	}, acl)
	var known s3err.S3Error
	if err != nil && (!errors.As(err, &known) || known.BaseError().Code != "BucketAlreadyOwnedByYou") {
		return fmt.Errorf("create: %w", err)
	}
	if b.Versioned {
		if err := store.PutBucketVersioning(ctx, b.Name, types.BucketVersioningStatusEnabled); err != nil {
			return fmt.Errorf("enable versioning: %w", err)
		}
	}
	return configureCORS(ctx, store, b)
}

func configureCORS(ctx context.Context, store backend.Backend, b Bucket) error {
	if len(b.CORS) == 0 {
		if err := store.DeleteBucketCors(ctx, b.Name); err != nil {
			return fmt.Errorf("remove the CORS rules: %w", err)
		}
		return nil
	}
	var cors auth.CORSConfiguration
	for _, r := range b.CORS {
		cors.Rules = append(cors.Rules, engineRule(r))
	}
	if err := cors.Validate(); err != nil {
		return fmt.Errorf("CORS rules: %w", err)
	}
	data, err := xml.Marshal(cors)
	if err != nil {
		return fmt.Errorf("encode the CORS rules: %w", err)
	}
	if err := store.PutBucketCors(ctx, b.Name, data); err != nil {
		return fmt.Errorf("set the CORS rules: %w", err)
	}
	return nil
}

func engineRule(r CORSRule) auth.CORSRule {
	var rule auth.CORSRule
	for _, o := range r.AllowedOrigins {
		rule.AllowedOrigins = append(rule.AllowedOrigins, auth.CORSOrigin(o))
	}
	for _, m := range r.AllowedMethods {
		rule.AllowedMethods = append(rule.AllowedMethods, auth.CORSHTTPMethod(m))
	}
	for _, h := range r.AllowedHeaders {
		rule.AllowedHeaders = append(rule.AllowedHeaders, auth.CORSHeader(h))
	}
	for _, h := range r.ExposedHeaders {
		rule.ExposeHeaders = append(rule.ExposeHeaders, auth.CORSHeader(h))
	}
	if r.ID != "" {
		rule.ID = &r.ID
	}
	if r.MaxAge > 0 {
		seconds := int32(min(r.MaxAge/time.Second, math.MaxInt32))
		rule.MaxAgeSeconds = &seconds
	}
	return rule
}

// listen serves, on a free port if the settings name no address, and calls ready with the address once
// it does.
func listen(ctx context.Context, store backend.Backend, users accounts, set settings, ready func(address string) error) error {
	for attempt := 1; ; attempt++ {
		address := set.Address
		var err error
		if address == "" {
			if address, err = freeAddress(ctx); err != nil {
				return err
			}
		}
		failed := make(chan error, 1)
		err = embedgw.RunVersityGW(ctx, store, gatewayConfig(users, set.Region, address, func() {
			// In a goroutine: the server accepts no call before this returns.
			go func() {
				if err := ready(address); err != nil {
					failed <- fmt.Errorf("report to the runtime: %w", err)
				}
			}()
		}))
		if errors.Is(err, syscall.EADDRINUSE) && attempt < bindAttempts {
			continue
		}
		if err == nil {
			err = errors.New("the server ended by itself")
		}
		return fmt.Errorf("serve S3 on %s: %w", address, err)
	}
}

func gatewayConfig(users accounts, region, address string, listening func()) *embedgw.Config {
	return &embedgw.Config{
		RootUserAccess: rootUser, RootUserSecret: users.issuer.Secret(rootUser),
		Region: region, Ports: []string{address},
		MaxConnections: 16384, MaxRequests: 8192, MultipartMaxParts: 10000,
		KeepAlive: true, Quiet: true, DisableACLs: true,
		IAMService: users,
		S3Options: []s3api.Option{
			s3api.WithOnListen(listening),
			s3api.WithMiddleware("/", readRefused),
			func(s *s3api.S3ApiServer) { s.Router.WithAdmSrv = false }, // accounts are not the engine's
		},
	}
}

// freeAddress is an address of this machine alone with a port that was free a moment ago: the engine
// cannot be handed a listener, nor tells which port it got.
func freeAddress(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// engineService is what the runtime may call.
type engineService struct{ store backend.Backend }

func answerRuntime(conn net.Conn, store backend.Backend) error {
	server := rpc.NewServer()
	if err := server.RegisterName(engineName, &engineService{store: store}); err != nil {
		return fmt.Errorf("answer the runtime: %w", err)
	}
	go func() {
		server.ServeConn(conn)
		// The runtime is gone. Where the kernel does not tell, this does.
		os.Exit(0)
	}()
	return nil
}

// Tags answers a tagsQuery.
func (s *engineService) Tags(q tagsQuery, a *tagsAnswer) error {
	tags, err := s.store.GetObjectTagging(context.Background(), q.Bucket, q.Key, q.VersionID)
	var known s3err.S3Error
	switch {
	case errors.As(err, &known):
		return nil // no such object, version or bucket
	case err != nil:
		return fmt.Errorf("read the tags of %s/%s: %w", q.Bucket, q.Key, err)
	}
	*a = tagsAnswer{Found: true, Tags: tags}
	return nil
}
