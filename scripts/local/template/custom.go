package template

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/assembly"
)

// CustomResource is one that a function of the template provides.
type CustomResource struct {
	Origin
	Type, FunctionARN string
	Properties        json.RawMessage // with the service token
	Timeout           time.Duration
	DependsOn         []string
}

// decodeCustom keeps a custom resource whose provider is a function of the template.
func decodeCustom(d *decoder, r assembly.Resource) error {
	token, _ := r.Properties["ServiceToken"].(string)
	if token == "" {
		return errors.New("property ServiceToken is required")
	}
	given, err := json.Marshal(r.Properties)
	if err != nil {
		return fmt.Errorf("encode properties: %w", err)
	}
	timeout := time.Hour // CloudFormation's
	if text, ok := r.Properties["ServiceTimeout"]; ok {
		n, err := time.ParseDuration(fmt.Sprint(text) + "s")
		if err != nil {
			return fmt.Errorf("property ServiceTimeout: want a number of seconds, have %v", text)
		}
		timeout = n
	}
	d.later(r, func() error {
		f, err := d.model.function(token)
		if err != nil {
			return fmt.Errorf("property ServiceToken: %w", err)
		}
		d.model.CustomResources = append(d.model.CustomResources, CustomResource{
			Origin: origin(r), Type: r.Type, FunctionARN: f.ARN, Properties: given, Timeout: timeout, DependsOn: r.DependsOn,
		})
		return nil
	})
	return nil
}
