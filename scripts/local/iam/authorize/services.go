package authorize

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/stowage-dev/stowage/scripts/local/gateway"
	"github.com/stowage-dev/stowage/scripts/local/gateway/operation"
	"github.com/stowage-dev/stowage/scripts/local/iam"
)

// set gives a key its value unless that is empty.
func set(keys iam.Context, key, value string) {
	if value != "" {
		keys.Set(key, value)
	}
}

// stsKeys adds what is asked of a session.
func stsKeys(c *gateway.Call, keys iam.Context) {
	form, err := url.ParseQuery(string(c.Body))
	if err != nil {
		return // STS refuses it
	}
	set(keys, "sts:ExternalId", form.Get("ExternalId"))
	set(keys, "sts:RoleSessionName", form.Get("RoleSessionName"))
	set(keys, "sts:DurationSeconds", form.Get("DurationSeconds"))
	set(keys, "sts:SourceIdentity", form.Get("SourceIdentity"))
	var names, transitive []string
	for n := 1; form.Has(fmt.Sprintf("Tags.member.%d.Key", n)); n++ {
		name := form.Get(fmt.Sprintf("Tags.member.%d.Key", n))
		keys.Set("aws:RequestTag/"+name, form.Get(fmt.Sprintf("Tags.member.%d.Value", n)))
		names = append(names, name)
	}
	for n := 1; form.Has(fmt.Sprintf("TransitiveTagKeys.member.%d", n)); n++ {
		transitive = append(transitive, form.Get(fmt.Sprintf("TransitiveTagKeys.member.%d", n)))
	}
	keys.Set("aws:TagKeys", names...)
	keys.Set("sts:TransitiveTagKeys", transitive...)
}

// eventsKeys adds the sources and types of the events that are put on the action's bus.
func eventsKeys(c *gateway.Call, action operation.Action, keys iam.Context) {
	var body struct {
		Entries []struct {
			EventBusName string
			Source       string
			DetailType   string
		}
	}
	_ = json.Unmarshal(c.Body, &body) // EventBridge refuses what cannot be read
	var sources, types []string
	for _, e := range body.Entries {
		bus := e.EventBusName
		if bus == "" {
			bus = "default"
		}
		if bus != action.Resource && !strings.HasSuffix(action.Resource, "/"+bus) {
			continue
		}
		if !slices.Contains(sources, e.Source) {
			sources = append(sources, e.Source)
		}
		if !slices.Contains(types, e.DetailType) {
			types = append(types, e.DetailType)
		}
	}
	keys.Set("events:source", sources...)
	keys.Set("events:detail-type", types...)
	keys.Set("events:eventBusInvocation", "false")
}

func (a *Authorizer) secretsKeys(c *gateway.Call, action operation.Action, keys iam.Context) {
	var body struct {
		SecretId, VersionId, VersionStage, Name, Description, KmsKeyId string //nolint:revive // the API's spelling
	}
	_ = json.Unmarshal(c.Body, &body) // Secrets Manager refuses what cannot be read
	set(keys, "secretsmanager:SecretId", action.Resource)
	set(keys, "secretsmanager:VersionId", body.VersionId)
	set(keys, "secretsmanager:VersionStage", body.VersionStage)
	set(keys, "secretsmanager:Name", body.Name)
	set(keys, "secretsmanager:Description", body.Description)
	set(keys, "secretsmanager:KmsKeyId", body.KmsKeyId)
	if target := a.resourceOf(action.Resource); target != nil {
		for k, v := range target.Tags {
			keys.Set("secretsmanager:ResourceTag/"+k, v)
		}
	}
}

func (a *Authorizer) kmsKeys(c *gateway.Call, keys iam.Context) {
	var body struct {
		EncryptionContext   map[string]string
		EncryptionAlgorithm string
	}
	_ = json.Unmarshal(c.Body, &body) // KMS refuses what cannot be read
	var names []string
	for k, v := range body.EncryptionContext {
		keys.Set("kms:EncryptionContext:"+k, v)
		names = append(names, k)
	}
	keys.Set("kms:EncryptionContextKeys", names...)
	keys.Set("kms:CallerAccount", a.cfg.Account)
	if body.EncryptionAlgorithm == "" {
		body.EncryptionAlgorithm = "SYMMETRIC_DEFAULT"
	}
	keys.Set("kms:EncryptionAlgorithm", body.EncryptionAlgorithm)
}
