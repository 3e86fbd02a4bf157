package fault_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stowage-dev/stowage/shared/fault"
)

func TestCodeOf(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		err                  error
		code                 fault.Code
		transient, permanent bool
	}{
		{nil, "", false, false},
		{errors.New("x"), fault.Internal, false, false},
		{context.Canceled, fault.Unavailable, true, false},
		{fmt.Errorf("read: %w", context.DeadlineExceeded), fault.Unavailable, true, false},
		{fault.New(fault.NotFound, "x"), fault.NotFound, false, true},
		{fmt.Errorf("read: %w", fault.New(fault.RateLimited, "x")), fault.RateLimited, true, false},
		{fault.Wrap(fault.Conflict, context.Canceled, "x"), fault.Conflict, false, true},
		{fault.Wrap(fault.Conflict, fault.New(fault.NotFound, "y"), "x"), fault.Conflict, false, true},
		{errors.Join(errors.New("y"), fault.New(fault.Unavailable, "x")), fault.Unavailable, true, false},
		{fault.New(fault.Internal, "x"), fault.Internal, false, false},
	} {
		if got := fault.CodeOf(tc.err); got != tc.code {
			t.Errorf("%v: code %q, want %q", tc.err, got, tc.code)
		}
		if got := fault.Transient(tc.err); got != tc.transient {
			t.Errorf("%v: transient %t", tc.err, got)
		}
		if got := fault.Permanent(tc.err); got != tc.permanent {
			t.Errorf("%v: permanent %t", tc.err, got)
		}
		if !fault.Is(tc.err, tc.code) && tc.err != nil || fault.Is(tc.err, "other") {
			t.Errorf("%v: Is does not agree", tc.err)
		}
	}
}

func TestTheCauseIsForTheLogOnly(t *testing.T) {
	t.Parallel()
	cause := errors.New("table secret-name")
	err := fault.Wrap(fault.Unavailable, cause, "try again")
	if err.Message != "try again" || err.Error() != "try again: table secret-name" || !errors.Is(err, cause) {
		t.Errorf("message %q, error %q", err.Message, err)
	}
}

func TestErrorsAreNotSharedByTheirCopies(t *testing.T) {
	t.Parallel()
	base := fault.New(fault.QuotaExceeded, "x").With("a", 1).WithField("f", "m")
	one, two := base.With("b", 2).WithField("g", "n"), base.With("b", 3).WithField("h", "o")
	if diff := cmp.Diff(map[string]any{"a": 1}, base.Details); diff != "" {
		t.Error(diff)
	}
	if one.Details["b"] != 2 || two.Details["b"] != 3 || one.Fields[1].Field != "g" || two.Fields[1].Field != "h" || len(base.Fields) != 1 {
		t.Errorf("%+v, %+v, %+v", base, one, two)
	}
}

func TestJoin(t *testing.T) {
	t.Parallel()
	if err := fault.Join(nil, nil); err != nil {
		t.Errorf("nothing joins to %v", err)
	}
	err := fault.Join(nil, fault.Invalid("a", "is %d", 1), fault.Invalid("b", "is bad"))
	var f *fault.Error
	if !errors.As(err, &f) || f.Code != fault.InvalidArgument {
		t.Fatalf("joined to %v", err)
	}
	if diff := cmp.Diff([]fault.Violation{{Field: "a", Message: "is 1"}, {Field: "b", Message: "is bad"}}, f.Fields); diff != "" {
		t.Error(diff)
	}
	if want := "a: is 1 (and 1 more)"; f.Message != want {
		t.Errorf("message %q, want %q", f.Message, want)
	}
	all := fault.Join(err, fault.New(fault.InvalidArgument, "no field has it"))
	if want := "a: is 1 (and 2 more)"; !errors.As(all, &f) || f.Message != want || f.Fields[2].Message != "no field has it" {
		t.Errorf("message %q of %+v, want %q", f.Message, f.Fields, want)
	}
	other := fault.New(fault.TooLarge, "x")
	if err := fault.Join(fault.Invalid("a", "x"), other); !errors.Is(err, other) {
		t.Errorf("another code was hidden: %v", err)
	}
}

func TestInside(t *testing.T) {
	t.Parallel()
	bare := fault.Join(fault.Invalid("name", "is empty"), fault.Invalid("size", "is below 0"))
	err := fault.Inside("body.", fmt.Errorf("check: %w", bare))
	var located, untouched *fault.Error
	if !errors.As(err, &located) || !errors.As(bare, &untouched) {
		t.Fatalf("%v, %v", err, bare)
	}
	if located.Fields[0].Field != "body.name" || located.Fields[1].Field != "body.size" || untouched.Fields[0].Field != "name" {
		t.Errorf("%+v of %+v", located.Fields, untouched.Fields)
	}
	if want := "body.name: is empty (and 1 more)"; located.Message != want {
		t.Errorf("message %q, want %q", located.Message, want)
	}
	own := fault.New(fault.QuotaExceeded, "name: no room").WithField("name", "is too long")
	if err := fault.Inside("body.", own); err.Error() != own.Error() {
		t.Errorf("message %q, want %q", err, own)
	}
	if other := errors.New("other"); !errors.Is(fault.Inside("body.", other), other) || fault.Inside("body.", nil) != nil {
		t.Error("an error that blames no field was changed")
	}
}
