// Package issuer stands in for Cognito user pools: it signs access tokens for the pools of a
// template, with keys of its own that last as long as the state directory.
//
// Machines get tokens as on AWS (client_credentials at /oauth2/token). For users there is no sign-in:
// Mint and, for people at a terminal, POST /token give a token for any subject, which is why the
// HTTP side answers only requests addressed to this machine by a loopback name. In both cases the
// pool's pre token generation trigger has its say: version V3_0 for users and machines, V2_0 for
// users; V1_0 changes only ID tokens, which are not issued here.
//
// The issuer in a token is the pool's on AWS, as the template has it; its keys are found through
// VerificationKey, or at <URL>/<pool id>/.well-known/jwks.json.
package issuer

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"
)

const (
	defaultTTL = time.Hour
	// Bounds of an access token's validity.
	// https://docs.aws.amazon.com/cognito/latest/developerguide/quotas.html
	minTTL = 5 * time.Minute
	maxTTL = 24 * time.Hour

	shutdownGrace     = 2 * time.Second
	readHeaderTimeout = 10 * time.Second
)

// Issuer signs tokens for its pools. It is safe for concurrent use.
type Issuer struct {
	cfg   Config
	pools []*pool
	mux   *http.ServeMux

	url    string
	server *http.Server
	done   chan struct{} // closed when the listener has ended
	close  sync.Once
}

// pool is a Pool with its key.
type pool struct {
	Pool
	key    *signingKey
	issuer string
}

// New checks the configuration, and loads the signing keys or makes them.
func New(cfg Config) (*Issuer, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.NewID == nil {
		cfg.NewID = uuid.NewString
	}
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	i := &Issuer{cfg: cfg}
	for _, p := range cfg.Pools {
		if err := i.check(p); err != nil {
			return nil, fmt.Errorf("user pool %s: %w", p.ID, err)
		}
		key, err := loadKey(cfg.StateDir, p.ID)
		if err != nil {
			return nil, fmt.Errorf("user pool %s: %w", p.ID, err)
		}
		i.pools = append(i.pools, &pool{Pool: p, key: key, issuer: "https://cognito-idp." + cfg.Region + ".amazonaws.com/" + p.ID})
	}
	i.mux = i.routes()
	return i, nil
}

func (i *Issuer) check(p Pool) error {
	if t := p.Trigger; t != nil {
		if !slices.Contains([]string{"V1_0", "V2_0", "V3_0"}, t.Version) {
			return fmt.Errorf("pre token generation version %q must be V1_0, V2_0 or V3_0", t.Version)
		}
		if i.cfg.Invoke == nil {
			return errors.New("has a trigger, but Invoke is not set")
		}
	}
	for _, c := range p.Clients {
		if c.AccessTokenTTL != 0 && (c.AccessTokenTTL < minTTL || c.AccessTokenTTL > maxTTL) {
			return fmt.Errorf("client %s: access token validity %s must lie between %s and %s", c.Name, c.AccessTokenTTL, minTTL, maxTTL)
		}
		for _, f := range c.Flows {
			if !slices.Contains([]string{"client_credentials", "code", "implicit"}, f) {
				return fmt.Errorf("client %s: unknown flow %q", c.Name, f)
			}
		}
		for _, s := range c.Scopes {
			if !p.knowsScope(s) {
				return fmt.Errorf("client %s: scope %q is declared by no resource server", c.Name, s)
			}
		}
	}
	return nil
}

// Start listens and serves until ctx ends.
func (i *Issuer) Start(ctx context.Context) error {
	listener := i.cfg.Listener
	if listener == nil {
		var err error
		if listener, err = new(net.ListenConfig).Listen(ctx, "tcp", i.cfg.Addr); err != nil {
			return fmt.Errorf("start issuer: %w", err)
		}
	}
	i.url = "http://" + listener.Addr().String()
	i.server = &http.Server{
		Handler: i, ReadHeaderTimeout: readHeaderTimeout,
		ErrorLog: slog.NewLogLogger(i.cfg.Logger.Handler(), slog.LevelDebug),
	}
	i.done = make(chan struct{})
	go func() {
		defer close(i.done)
		if err := i.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			i.cfg.Logger.Error("issuer stopped listening", "error", err)
		}
	}()
	context.AfterFunc(ctx, func() { _ = i.Close() }) //nolint:contextcheck // ctx is over by then
	return nil
}

// URL is where the issuer listens, without a trailing slash; known once Start has returned.
func (i *Issuer) URL() string { return i.url }

// Close stops listening and waits for the requests under way.
func (i *Issuer) Close() error {
	if i.server == nil {
		return nil
	}
	var err error
	i.close.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), shutdownGrace)
		defer cancel()
		if err = i.server.Shutdown(ctx); err != nil {
			err = i.server.Close()
		}
	})
	<-i.done
	if err != nil {
		return fmt.Errorf("close issuer: %w", err)
	}
	return nil
}

// Mint signs an access token for a user, after the pool's trigger has had its say.
func (i *Issuer) Mint(ctx context.Context, r MintRequest) (string, time.Time, error) {
	p, c, err := i.find(r.Pool, r.ClientID)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("mint a token: %w", err)
	}
	if r.Sub == "" {
		return "", time.Time{}, errors.New("mint a token: the subject is missing")
	}
	for _, s := range r.Scopes {
		if !p.knowsScope(s) {
			return "", time.Time{}, fmt.Errorf("mint a token: scope %q is declared by no resource server of pool %s", s, p.ID)
		}
	}
	if r.Username == "" {
		r.Username = r.Sub
	}
	g := grant{
		pool: p, client: c, source: "TokenGeneration_Authentication", username: r.Username,
		attributes: map[string]string{"sub": r.Sub, "cognito:user_status": "CONFIRMED"},
		groups:     r.Groups, scopes: r.Scopes, metadata: r.ClientMetadata, ttl: r.TTL,
		claims: map[string]any{
			"sub": r.Sub, "username": r.Username, "origin_jti": i.cfg.NewID(), "event_id": i.cfg.NewID(),
		},
	}
	for name, value := range r.UserAttributes {
		g.attributes[name] = value
	}
	token, expires, err := i.issue(ctx, g)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("mint a token for %s: %w", r.Sub, err)
	}
	return token, expires, nil
}

// ClientSecret is the secret of an app client, for those that have one.
func (i *Issuer) ClientSecret(clientID string) (string, bool) {
	p, c := i.client(clientID)
	if c == nil || !c.GenerateSecret {
		return "", false
	}
	return p.key.secret(clientID), true
}

// ErrUnknownKey says that no pool has such a key.
var ErrUnknownKey = errors.New("no pool signs with this key")

// VerificationKey finds the public key of a pool by its issuer URL and key id.
func (i *Issuer) VerificationKey(_ context.Context, issuer, keyID string) (*rsa.PublicKey, error) {
	for _, p := range i.pools {
		if p.issuer == issuer && p.key.id == keyID {
			return &p.key.private.PublicKey, nil
		}
	}
	return nil, fmt.Errorf("issuer %s: %w", issuer, ErrUnknownKey)
}

// find picks a pool and one of its clients; what is left empty must be unambiguous.
func (i *Issuer) find(poolID, clientID string) (*pool, *Client, error) {
	if poolID == "" && clientID != "" {
		if p, c := i.client(clientID); c != nil {
			return p, c, nil
		}
		return nil, nil, fmt.Errorf("client %q is not declared", clientID)
	}
	if poolID == "" && len(i.pools) != 1 {
		return nil, nil, fmt.Errorf("there are %d user pools: name one", len(i.pools))
	}
	for _, p := range i.pools {
		if poolID != "" && p.ID != poolID {
			continue
		}
		for n := range p.Clients {
			if clientID == "" || p.Clients[n].ID == clientID {
				return p, &p.Clients[n], nil
			}
		}
		return nil, nil, fmt.Errorf("user pool %s has no client %q", p.ID, clientID)
	}
	return nil, nil, fmt.Errorf("user pool %q is not declared", poolID)
}

func (i *Issuer) client(id string) (*pool, *Client) {
	for _, p := range i.pools {
		for n := range p.Clients {
			if p.Clients[n].ID == id {
				return p, &p.Clients[n]
			}
		}
	}
	return nil, nil
}

// knowsScope reports whether a resource server declares a scope, or OpenID Connect or Cognito does.
func (p Pool) knowsScope(scope string) bool {
	switch scope {
	case "openid", "email", "phone", "profile", "aws.cognito.signin.user.admin":
		return true
	}
	return slices.Contains(p.customScopes(), scope)
}

func (p Pool) customScopes() []string {
	var all []string
	for _, rs := range p.ResourceServers {
		for _, s := range rs.Scopes {
			all = append(all, rs.Identifier+"/"+s)
		}
	}
	return all
}

// sign makes a compact JWS of claims.
func (p *pool) sign(claims map[string]any) (string, error) {
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.RS256, Key: p.key.private},
		(&jose.SignerOptions{}).WithHeader("kid", p.key.id),
	)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encode claims: %w", err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return token, nil
}
