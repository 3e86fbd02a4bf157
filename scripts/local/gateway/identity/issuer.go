package identity

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// New makes an Issuer for a master key.
func New(cfg Config) (*Issuer, error) {
	if len(cfg.MasterKey) != MasterKeySize {
		return nil, fmt.Errorf("credentials: the master key has %d bytes; it must have %d", len(cfg.MasterKey), MasterKeySize)
	}
	i := &Issuer{key: slices.Clone(cfg.MasterKey), now: cfg.Now, random: cfg.Random, users: map[string]Caller{}}
	if i.now == nil {
		i.now = time.Now
	}
	if i.random == nil {
		i.random = rand.Reader
	}
	return i, nil
}

// IssueUser gives the long-term credentials of the user (or account root) with this ARN. They are
// the same each time for one master key. Only users that were issued are known to Resolve.
func (i *Issuer) IssueUser(arn string) Credentials {
	id := prefixUser + i.derivedID("access key", arn)
	i.mu.Lock()
	i.users[id] = Caller{AccessKeyID: id, PrincipalARN: arn, UserID: prefixUserID + i.derivedID("user id", arn)}
	i.mu.Unlock()
	return Credentials{AccessKeyID: id, SecretAccessKey: i.Secret(id)}
}

// Session says whose temporary credentials to issue.
type Session struct {
	RoleARN  string
	RoleID   string // the role's unique id; empty: derived from its ARN
	Name     string // of the session
	Function string // when they are for a function
	// AssumedBy is the access key with which somebody assumed the role; empty: nobody did.
	AssumedBy string
	Tags      map[string]string
	Policies  []string
	Duration  time.Duration
}

// IssueSession issues temporary credentials for a role session.
func (i *Issuer) IssueSession(s Session) (Credentials, Caller, error) {
	account, role, err := splitRoleARN(s.RoleARN)
	if err != nil {
		return Credentials{}, Caller{}, err
	}
	id, err := i.randomID()
	if err != nil {
		return Credentials{}, Caller{}, fmt.Errorf("issue a session of %s: %w", s.RoleARN, err)
	}
	roleID := s.RoleID
	if roleID == "" {
		roleID = i.RoleID(s.RoleARN)
	}
	now := i.now().UTC().Truncate(time.Second)
	caller := Caller{
		AccessKeyID:     prefixSession + id,
		PrincipalARN:    "arn:aws:sts::" + account + ":assumed-role/" + role + "/" + s.Name,
		UserID:          roleID + ":" + s.Name,
		RoleARN:         s.RoleARN,
		Function:        s.Function,
		AssumedBy:       s.AssumedBy,
		SessionTags:     s.Tags,
		SessionPolicies: s.Policies,
		Issued:          now,
		Expires:         now.Add(s.Duration),
	}
	token, err := i.seal(caller)
	if err != nil {
		return Credentials{}, Caller{}, fmt.Errorf("issue a session of %s: %w", s.RoleARN, err)
	}
	return Credentials{
		AccessKeyID:     caller.AccessKeyID,
		SecretAccessKey: i.Secret(caller.AccessKeyID),
		SessionToken:    token,
		Expires:         caller.Expires,
	}, caller, nil
}

// functionSession is how long the credentials in a function's environment last. Lambda renews them
// before they end; here they simply outlast any run of the runtime.
const functionSession = 30 * 24 * time.Hour

// IssueFor issues the credentials that a function finds in its environment: a session of its role
// that bears the function's name.
func (i *Issuer) IssueFor(roleARN, function string) (Credentials, error) {
	c, _, err := i.IssueSession(Session{RoleARN: roleARN, Name: function, Function: function, Duration: functionSession})
	return c, err
}

// Secret is the secret access key that belongs to an access key id.
func (i *Issuer) Secret(accessKeyID string) string {
	return base64.StdEncoding.EncodeToString(i.mac("secret access key", []byte(accessKeyID)))
}

// RoleID is the unique id of a role, as aws:userid shows it.
func (i *Issuer) RoleID(roleARN string) string { return prefixRole + i.derivedID("role id", roleARN) }

// Resolve tells whose access key this is. The token must be the one issued with it; a user's key has
// none. It says nothing about the call's signature.
func (i *Issuer) Resolve(accessKeyID, sessionToken string) (*Caller, error) {
	if !strings.HasPrefix(accessKeyID, prefixSession) {
		i.mu.RLock()
		caller, known := i.users[accessKeyID]
		i.mu.RUnlock()
		switch {
		case !known:
			return nil, ErrUnknownKey
		case sessionToken != "":
			return nil, ErrInvalidToken
		}
		return &caller, nil
	}
	caller, err := i.open(sessionToken)
	if err != nil {
		return nil, err
	}
	if caller.AccessKeyID != accessKeyID {
		return nil, ErrInvalidToken
	}
	if !i.now().Before(caller.Expires) {
		return nil, ErrExpiredToken
	}
	return caller, nil
}

// mac keys every use of the master key apart from the others.
func (i *Issuer) mac(use string, data []byte) []byte {
	h := hmac.New(sha256.New, i.key)
	_, _ = io.WriteString(h, use+"\x00")
	_, _ = h.Write(data)
	return h.Sum(nil)
}

// idEncoding is the alphabet of IAM's unique ids.
var idEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// idBytes become the 16 characters that follow an id's prefix.
const idBytes = 10

func (i *Issuer) derivedID(use, of string) string {
	return idEncoding.EncodeToString(i.mac(use, []byte(of))[:idBytes])
}

func (i *Issuer) randomID() (string, error) {
	var b [idBytes]byte
	if _, err := io.ReadFull(i.random, b[:]); err != nil {
		return "", fmt.Errorf("read randomness: %w", err)
	}
	return idEncoding.EncodeToString(b[:]), nil
}

// splitRoleARN gives the account and the name (without its path) of a role.
func splitRoleARN(arn string) (account, name string, err error) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "iam" || !strings.HasPrefix(parts[5], "role/") {
		return "", "", fmt.Errorf("%q is not the ARN of a role (arn:aws:iam::<account>:role/<name>)", arn)
	}
	name = parts[5][strings.LastIndexByte(parts[5], '/')+1:]
	if name == "" {
		return "", "", fmt.Errorf("the role's ARN %q names no role", arn)
	}
	return parts[4], name, nil
}
