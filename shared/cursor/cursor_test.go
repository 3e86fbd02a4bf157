package cursor_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/shared/cursor"
	"github.com/stowage-dev/stowage/shared/fault"
)

// held is a key ring that can be rotated: Ring is what is held, Renew what it would be now.
type held struct {
	ring, renewed *cursor.Ring
	renewals      int
	err           error
}

func (h *held) Ring(context.Context) (*cursor.Ring, error) { return h.ring, h.err }

func (h *held) Renew(context.Context) (*cursor.Ring, error) {
	h.renewals++
	if h.renewed != nil {
		h.ring = h.renewed
	}
	return h.ring, h.err
}

func secret(letter string) []byte { return []byte(strings.Repeat(letter, cursor.MinSecretBytes)) }

func ring(t interface {
	Helper()
	Fatal(...any)
}, secrets ...[]byte) *cursor.Ring {
	t.Helper()
	r, err := cursor.NewRing(secrets...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestOnlyItsOwnBindingOpens(t *testing.T) {
	t.Parallel()
	codec := cursor.NewCodec(&held{ring: ring(t, secret("a"))}, rand.Reader)
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.StringN(0, 30, -1)
		sealedFor := cursor.Binding{Workspace: text.Draw(rt, "workspace"), Query: text.Draw(rt, "query")}
		position := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(rt, "position")
		sealed, err := codec.Seal(t.Context(), sealedFor, position)
		if err != nil {
			rt.Fatal(err)
		}
		if got, err := codec.Open(t.Context(), sealedFor, sealed); err != nil || !bytes.Equal(got, position) {
			rt.Fatalf("open: %q, %v; want %q", got, err, position)
		}
		other := cursor.Binding{Workspace: text.Draw(rt, "other workspace"), Query: text.Draw(rt, "other query")}
		if _, err := codec.Open(t.Context(), other, sealed); other != sealedFor && !fault.Is(err, fault.InvalidArgument) {
			rt.Fatalf("opened for %+v what was sealed for %+v (%v)", other, sealedFor, err)
		}
	})
}

// TestBindingIsUnambiguous moves the border between workspace and query.
func TestBindingIsUnambiguous(t *testing.T) {
	t.Parallel()
	codec := cursor.NewCodec(&held{ring: ring(t, secret("a"))}, rand.Reader)
	sealed, err := codec.Seal(t.Context(), cursor.Binding{Workspace: "alpha", Query: "beta"}, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []cursor.Binding{{Workspace: "alphab", Query: "eta"}, {Workspace: "", Query: "alphabeta"}, {Workspace: "alphabeta", Query: ""}} {
		if _, err := codec.Open(t.Context(), other, sealed); !fault.Is(err, fault.InvalidArgument) {
			t.Errorf("%+v: %v", other, err)
		}
	}
}

func TestEveryChangedBitIsRefused(t *testing.T) {
	t.Parallel()
	codec := cursor.NewCodec(&held{ring: ring(t, secret("a"), secret("b"))}, rand.Reader)
	binding := cursor.Binding{Workspace: "alpha", Query: "objects"}
	sealed, err := codec.Seal(t.Context(), binding, []byte("position"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		for bit := range 8 {
			changed := bytes.Clone(raw)
			changed[i] ^= 1 << bit
			if _, err := codec.Open(t.Context(), binding, base64.RawURLEncoding.EncodeToString(changed)); !fault.Is(err, fault.InvalidArgument) {
				t.Fatalf("byte %d, bit %d: %v", i, bit, err)
			}
		}
	}
	for n := range raw {
		if _, err := codec.Open(t.Context(), binding, base64.RawURLEncoding.EncodeToString(raw[:n])); !fault.Is(err, fault.InvalidArgument) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	for _, other := range []string{sealed + "A", sealed + "=", " " + sealed, sealed + "\n", strings.Repeat("A", cursor.MaxBytes+1)} {
		if _, err := codec.Open(t.Context(), binding, other); !fault.Is(err, fault.InvalidArgument) {
			t.Errorf("%.20q…: %v", other, err)
		}
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	binding := cursor.Binding{Workspace: "alpha", Query: "objects"}
	keys := &held{ring: ring(t, secret("a"))}
	codec := cursor.NewCodec(keys, rand.Reader)
	first, err := codec.Seal(t.Context(), binding, []byte("1"))
	if err != nil {
		t.Fatal(err)
	}

	keys.ring = ring(t, secret("b"), secret("a"))
	if _, err := codec.Open(t.Context(), binding, first); err != nil {
		t.Errorf("the previous key no longer opens: %v", err)
	}
	second, err := codec.Seal(t.Context(), binding, []byte("2"))
	if err != nil {
		t.Fatal(err)
	}

	// Another process still holds the old ring, and learns of the new key from the cursor.
	stale := &held{ring: ring(t, secret("a")), renewed: ring(t, secret("b"), secret("a"))}
	if _, err := cursor.NewCodec(stale, rand.Reader).Open(t.Context(), binding, second); err != nil || stale.renewals != 1 {
		t.Errorf("a process with the old ring: %v after %d renewals", err, stale.renewals)
	}

	keys.ring = ring(t, secret("c"), secret("b"))
	if _, err := codec.Open(t.Context(), binding, first); !fault.Is(err, fault.InvalidArgument) {
		t.Errorf("a key that was rotated out still opens: %v", err)
	}
}

func TestKeysThatCannotBeHad(t *testing.T) {
	t.Parallel()
	codec := cursor.NewCodec(&held{err: errors.New("no answer")}, rand.Reader)
	if _, err := codec.Seal(t.Context(), cursor.Binding{}, nil); err == nil {
		t.Error("sealed without a key")
	}
	sealed, err := cursor.NewCodec(&held{ring: ring(t, secret("a"))}, rand.Reader).Seal(t.Context(), cursor.Binding{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := codec.Open(t.Context(), cursor.Binding{}, sealed); err == nil || fault.Is(err, fault.InvalidArgument) {
		t.Errorf("got %v; a missing key is not the client's fault", err)
	}
	dry := cursor.NewCodec(&held{ring: ring(t, secret("a"))}, strings.NewReader("short"))
	if _, err := dry.Seal(t.Context(), cursor.Binding{}, nil); err == nil {
		t.Error("sealed without a whole nonce")
	}
}

func TestSecretsAreLongEnough(t *testing.T) {
	t.Parallel()
	if _, err := cursor.NewRing(); err == nil {
		t.Error("a ring without keys")
	}
	if _, err := cursor.NewRing(secret("a"), make([]byte, cursor.MinSecretBytes-1)); err == nil {
		t.Error("a short secret")
	}
}

func TestSealRefusesWhatOpenWould(t *testing.T) {
	t.Parallel()
	codec := cursor.NewCodec(&held{ring: ring(t, secret("a"))}, rand.Reader)
	if _, err := codec.Seal(t.Context(), cursor.Binding{}, make([]byte, cursor.MaxBytes)); err == nil {
		t.Error("sealed a cursor that is too long to be read back")
	}
}

func FuzzOpen(f *testing.F) {
	binding := cursor.Binding{Workspace: "alpha", Query: "objects"}
	// The same nonce in every process of the fuzzer, so that all know the same cursor.
	codec := cursor.NewCodec(&held{ring: ring(f, secret("a"))}, strings.NewReader("nonce nonce "))
	sealed, err := codec.Seal(context.Background(), binding, []byte("position"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add("")
	f.Add("AQ")
	f.Fuzz(func(t *testing.T, text string) {
		position, err := codec.Open(t.Context(), binding, text)
		switch {
		case err == nil && (text != sealed || string(position) != "position"):
			t.Errorf("opened %q, which nobody sealed", text)
		case err != nil && !fault.Is(err, fault.InvalidArgument):
			t.Errorf("%q: %v, want InvalidArgument", text, err)
		}
	})
}
