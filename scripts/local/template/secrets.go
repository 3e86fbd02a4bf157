package template

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/stowage-dev/stowage/scripts/local/assembly"
)

// Secret is a Secrets Manager secret.
type Secret struct {
	Origin
	Name, ARN, Description string
	Value                  string    // given in the template
	Generate               *Generate // nil: not generated
	RotationARN            string    // function that rotates it
	RotationSchedule       string
	Policies               []json.RawMessage
	KeyARN                 string
	Tags                   map[string]string
}

// Generate says how a secret's first value is made.
type Generate struct {
	Length                                                                 int
	ExcludeCharacters                                                      string
	ExcludeLowercase, ExcludeUppercase, ExcludeNumbers, ExcludePunctuation bool
	IncludeSpace, RequireEachIncludedType                                  bool
	Template, Key                                                          string
}

// Parameter is an SSM parameter.
type Parameter struct {
	Origin
	Name, Type, Value string
}

type secretProperties struct {
	Description          string
	GenerateSecretString *struct {
		ExcludeCharacters                                                      string
		ExcludeLowercase, ExcludeUppercase, ExcludeNumbers, ExcludePunctuation boolean
		IncludeSpace                                                           boolean
		RequireEachIncludedType                                                *boolean
		PasswordLength                                                         *integer
		SecretStringTemplate, GenerateStringKey                                string
	}
	KmsKeyID     string
	Name         string
	SecretString string
	Tags         tags
}

// defaultPasswordLength is Secrets Manager's, of a generated secret.
const defaultPasswordLength = 32

func decodeSecret(d *decoder, r assembly.Resource) error {
	p, err := properties[secretProperties](r)
	if err != nil {
		return err
	}
	s := &Secret{Origin: origin(r), Name: r.Name, ARN: r.Ref, Description: p.Description, Value: p.SecretString, KeyARN: p.KmsKeyID, Tags: p.Tags.toMap()}
	if g := p.GenerateSecretString; g != nil {
		s.Generate = &Generate{
			Length: number(g.PasswordLength, defaultPasswordLength), ExcludeCharacters: g.ExcludeCharacters,
			ExcludeLowercase: bool(g.ExcludeLowercase), ExcludeUppercase: bool(g.ExcludeUppercase),
			ExcludeNumbers: bool(g.ExcludeNumbers), ExcludePunctuation: bool(g.ExcludePunctuation),
			IncludeSpace: bool(g.IncludeSpace), RequireEachIncludedType: g.RequireEachIncludedType == nil || bool(*g.RequireEachIncludedType),
			Template: g.SecretStringTemplate, Key: g.GenerateStringKey,
		}
	}
	d.model.Secrets = append(d.model.Secrets, s)
	return nil
}

func decodeRotation(d *decoder, r assembly.Resource) error {
	p, err := properties[struct {
		RotateImmediatelyOnUpdate NoLocalEffect // the first value was made a moment ago
		RotationLambdaARN         string
		RotationRules             struct {
			AutomaticallyAfterDays *integer
			Duration               NoLocalEffect // rotations start on time here
			ScheduleExpression     string
		}
		SecretID string
	}](r)
	if err != nil {
		return err
	}
	schedule := p.RotationRules.ScheduleExpression
	if days := p.RotationRules.AutomaticallyAfterDays; days != nil {
		schedule = fmt.Sprintf("rate(%d days)", *days)
	}
	d.onSecret(r, p.SecretID, func(s *Secret) {
		s.RotationARN, s.RotationSchedule = p.RotationLambdaARN, schedule
	})
	return nil
}

func decodeSecretPolicy(d *decoder, r assembly.Resource) error {
	p, err := properties[struct {
		BlockPublicPolicy NoLocalEffect // nothing listens beyond 127.0.0.1
		ResourcePolicy    document
		SecretID          string
	}](r)
	if err != nil {
		return err
	}
	d.onSecret(r, p.SecretID, func(s *Secret) { s.Policies = append(s.Policies, p.ResourcePolicy.raw()) })
	return nil
}

func (d *decoder) onSecret(r assembly.Resource, arn string, f func(*Secret)) {
	d.later(r, func() error {
		i := slices.IndexFunc(d.model.Secrets, func(s *Secret) bool { return s.ARN == arn })
		if i < 0 {
			return fmt.Errorf("property SecretId: no stack declares the secret %s", arn)
		}
		f(d.model.Secrets[i])
		return nil
	})
}

func decodeParameter(d *decoder, r assembly.Resource) error {
	p, err := properties[struct {
		AllowedPattern          NoLocalEffect // the value is the template's own
		Description, Tags, Tier NoLocalEffect // for people and for billing
		Name, Type, Value       string
	}](r)
	if err != nil {
		return err
	}
	d.model.Parameters = append(d.model.Parameters, Parameter{Origin: origin(r), Name: r.Ref, Type: p.Type, Value: p.Value})
	return nil
}
