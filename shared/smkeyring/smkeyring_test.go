package smkeyring_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/stowage-dev/stowage/shared/cursor"
	"github.com/stowage-dev/stowage/shared/smkeyring"
)

// secrets is one secret with its stages, and a clock.
type secrets struct {
	stages map[string]string
	err    error
	reads  int
	now    time.Time
}

func (s *secrets) clock() time.Time { return s.now }

func (s *secrets) GetSecretValue(_ context.Context, in *secretsmanager.GetSecretValueInput, _ ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error) {
	s.reads++
	if s.err != nil {
		return nil, s.err
	}
	value, ok := s.stages[*in.VersionStage]
	if !ok {
		return nil, &types.ResourceNotFoundException{}
	}
	return &secretsmanager.GetSecretValueOutput{SecretString: &value}, nil
}

func seal(t *testing.T, keys cursor.Keys) string {
	t.Helper()
	sealed, err := cursor.NewCodec(keys, strings.NewReader(strings.Repeat("n", 12))).Seal(t.Context(), cursor.Binding{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func opens(t *testing.T, keys cursor.Keys, sealed string) bool {
	t.Helper()
	_, err := cursor.NewCodec(keys, nil).Open(t.Context(), cursor.Binding{}, sealed)
	return err == nil
}

func TestRotationReachesARunningProcess(t *testing.T) {
	t.Parallel()
	one, two, three := strings.Repeat("1", 64), strings.Repeat("2", 64), strings.Repeat("3", 64)
	s := &secrets{stages: map[string]string{"AWSCURRENT": one}, now: time.Unix(0, 0)}
	keys := smkeyring.New(s, "cursor", s.clock)
	first := seal(t, keys)
	if s.reads != 2 {
		t.Errorf("read %d times, want each stage once", s.reads)
	}
	if !opens(t, keys, first) || s.reads != 2 {
		t.Errorf("read again (%d) what it holds", s.reads)
	}

	// Rotated: this process seals with the old key until MaxAge, another one with the new.
	s.stages = map[string]string{"AWSCURRENT": two, "AWSPREVIOUS": one}
	second := seal(t, smkeyring.New(s, "cursor", s.clock))
	s.reads = 0
	s.now = s.now.Add(smkeyring.MinAge - 1)
	if opens(t, keys, second) || s.reads != 0 {
		t.Errorf("looked again before MinAge (%d reads)", s.reads)
	}
	s.now = s.now.Add(1)
	if !opens(t, keys, second) || !opens(t, keys, first) || s.reads != 2 {
		t.Errorf("after MinAge: %d reads; both keys should open", s.reads)
	}

	s.stages = map[string]string{"AWSCURRENT": three, "AWSPREVIOUS": two}
	s.now = s.now.Add(smkeyring.MaxAge)
	if opens(t, keys, first) || !opens(t, keys, second) {
		t.Error("after MaxAge the ring should be the new one")
	}
}

func TestSecretsManagerDown(t *testing.T) {
	t.Parallel()
	s := &secrets{err: errors.New("no answer"), now: time.Unix(0, 0)}
	keys := smkeyring.New(s, "cursor", s.clock)
	if _, err := keys.Ring(t.Context()); err == nil {
		t.Error("a ring out of nothing")
	}
	s.err, s.stages = nil, map[string]string{"AWSCURRENT": strings.Repeat("1", 64)}
	sealed := seal(t, keys)
	s.err, s.now = errors.New("no answer"), s.now.Add(2*smkeyring.MaxAge)
	if !opens(t, keys, sealed) {
		t.Error("a key that is held should go on opening")
	}
}

func TestUnusableSecretNamesItself(t *testing.T) {
	t.Parallel()
	s := &secrets{stages: map[string]string{"AWSCURRENT": "short"}, now: time.Unix(0, 0)}
	_, err := smkeyring.New(s, "arn:of:secret", s.clock).Ring(t.Context())
	if err == nil || !strings.Contains(err.Error(), "arn:of:secret") || strings.Contains(err.Error(), "short ") {
		t.Errorf("got %v", err)
	}
}
