// Package secrets is AWS Secrets Manager for the secrets of a template: their
// versions with staging labels, read and rotated as on AWS, and their first
// values generated as the template says.
//
// Secrets are kept in one file of the state directory that nobody else may
// read (mode 0600); a value is never logged. There is no encryption with a key
// of KMS, no deletion, no replication and no rotation by itself.
package secrets

import (
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Staging labels that Secrets Manager moves by itself.
const (
	stageCurrent  = "AWSCURRENT"
	stagePrevious = "AWSPREVIOUS"
)

// maxDeprecated is how many versions without a staging label are kept
// (https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html).
const maxDeprecated = 100

// Secret is one secret that the template declares.
type Secret struct {
	ARN         string
	Name        string
	Description string
	Value       string    // SecretString of the template; empty: generated
	Generate    *Generate // GenerateSecretString
	Tags        map[string]string
}

// Config configures a Store.
type Config struct {
	StateDir string
	Secrets  []Secret
	Logger   *slog.Logger     // nil: silent
	Now      func() time.Time // nil: time.Now
	Random   io.Reader        // nil: crypto/rand
}

// Store keeps the secrets and answers Secrets Manager's calls behind the gateway. It is safe for
// concurrent use.
type Store struct {
	cfg  Config
	path string

	mu     sync.Mutex
	values map[string]*versions // by ARN; of secrets that are not declared any more too
}

// versions are those of one secret, oldest first.
type versions struct {
	Created time.Time
	Changed time.Time
	Items   []version
}

// version is one value of a secret.
type version struct {
	ID      string
	Created time.Time
	Stages  []string
	String  *string `json:",omitempty"`
	Binary  []byte  `json:",omitempty"`
}

// Open opens the store and makes the values of secrets that it does not hold yet.
func Open(cfg Config) (*Store, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	s := &Store{cfg: cfg, path: filepath.Join(cfg.StateDir, "secrets.json")}
	if err := s.load(); err != nil {
		return nil, err
	}
	made := 0
	for _, secret := range cfg.Secrets {
		if s.values[secret.ARN] != nil {
			continue
		}
		if err := s.initialize(secret); err != nil {
			return nil, fmt.Errorf("secret %s: %w", secret.Name, err)
		}
		made++
	}
	if made > 0 {
		if err := s.save(); err != nil {
			return nil, err
		}
		cfg.Logger.Info("made the values of new secrets", "count", made)
	}
	return s, nil
}

// initialize gives a secret its first value; one that has neither value nor rule has none, as on AWS.
func (s *Store) initialize(secret Secret) error {
	now := s.cfg.Now().UTC()
	v := &versions{Created: now, Changed: now}
	s.values[secret.ARN] = v
	value := secret.Value
	if secret.Generate != nil {
		generated, err := secret.Generate.secretString(s.cfg.Random)
		if err != nil {
			return err
		}
		value = generated
	}
	if value == "" {
		return nil
	}
	id, err := s.newID()
	if err != nil {
		return err
	}
	v.Items = []version{{ID: id, Created: now, Stages: []string{stageCurrent}, String: &value}}
	return nil
}

func (s *Store) newID() (string, error) {
	id, err := uuid.NewRandomFromReader(s.cfg.Random)
	if err != nil {
		return "", fmt.Errorf("make a version id: %w", err)
	}
	return id.String(), nil
}

// ARN is the ARN of the secret with a name; empty for none.
func (s *Store) ARN(name string) string {
	if secret := s.declared(name); secret != nil {
		return secret.ARN
	}
	return ""
}

// suffixLength is how many characters Secrets Manager appends to a secret's name in its ARN, with a hyphen.
const suffixLength = 7

// declared finds a secret by its ARN, by its ARN without the appended characters, or by its name.
func (s *Store) declared(id string) *Secret {
	for i, secret := range s.cfg.Secrets {
		if id == secret.ARN || id == secret.Name {
			return &s.cfg.Secrets[i]
		}
		if strings.HasPrefix(id, "arn:") && len(secret.ARN) == len(id)+suffixLength && strings.HasPrefix(secret.ARN, id+"-") {
			return &s.cfg.Secrets[i]
		}
	}
	return nil
}

// find gives the version with an id and a stage; empty ones match any.
func (v *versions) find(id, stage string) *version {
	for i := range v.Items {
		item := &v.Items[i]
		if (id == "" || item.ID == id) && (stage == "" || slices.Contains(item.Stages, stage)) {
			return item
		}
	}
	return nil
}

// move attaches a stage to a version, taking it from where it was. The version that loses AWSCURRENT
// becomes AWSPREVIOUS.
func (v *versions) move(stage string, to *version) {
	from := v.find("", stage)
	if from == to {
		return
	}
	if from != nil {
		from.detach(stage)
		if stage == stageCurrent {
			v.move(stagePrevious, from)
		}
	}
	if to != nil {
		to.Stages = append(to.Stages, stage)
		if stage == stageCurrent { // it may have been the previous one
			to.detach(stagePrevious)
		}
	}
}

func (v *version) detach(stage string) {
	v.Stages = slices.DeleteFunc(v.Stages, func(s string) bool { return s == stage })
}

// prune forgets the oldest versions that no stage is attached to.
func (v *versions) prune() {
	deprecated := 0
	for _, item := range v.Items {
		if len(item.Stages) == 0 {
			deprecated++
		}
	}
	v.Items = slices.DeleteFunc(v.Items, func(item version) bool {
		if len(item.Stages) == 0 && deprecated > maxDeprecated {
			deprecated--
			return true
		}
		return false
	})
}
