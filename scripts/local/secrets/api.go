package secrets

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/gateway"
)

// maxValue is the longest value (https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html).
const maxValue = 65536

// failure is an error of the API.
type failure struct{ code, message string }

func (f *failure) Error() string { return f.code + ": " + f.message }

func notFound(format string, args ...any) error {
	return &failure{"ResourceNotFoundException", "Secrets Manager can't find the specified " + fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) error {
	return &failure{"InvalidParameterException", fmt.Sprintf(format, args...)}
}

// request are the members of all requests that are served.
type request struct {
	SecretId           string //nolint:revive // the API's spelling
	VersionId          string //nolint:revive // the API's spelling
	VersionStage       string
	VersionStages      []string
	ClientRequestToken string
	SecretString       *string
	SecretBinary       []byte

	MoveToVersionId     string //nolint:revive // the API's spelling
	RemoveFromVersionId string //nolint:revive // the API's spelling

	IncludeDeprecated bool

	PasswordLength          *int
	ExcludeCharacters       string
	ExcludeLowercase        bool
	ExcludeUppercase        bool
	ExcludeNumbers          bool
	ExcludePunctuation      bool
	IncludeSpace            bool
	RequireEachIncludedType *bool
}

// ServeHTTP answers one call, behind the gateway.
func (s *Store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := gateway.CallFrom(r.Context())
	if call == nil {
		http.Error(w, "Secrets Manager is served behind the gateway alone.", http.StatusInternalServerError)
		return
	}
	answer, err := s.answer(call.Name, call.Body)
	if err != nil {
		d := &gateway.Denial{Status: http.StatusInternalServerError, Code: "InternalServiceError", Message: "The local runtime could not keep the secret."}
		if f, ok := err.(*failure); ok { //nolint:errorlint // made here, never wrapped
			d = &gateway.Denial{Status: http.StatusBadRequest, Code: f.code, Message: f.message}
		} else {
			s.cfg.Logger.Error("a call to Secrets Manager failed", "operation", call.Name, "error", err)
		}
		gateway.WriteError(w, call, d)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("X-Amzn-Requestid", call.ID)
	_ = json.NewEncoder(w).Encode(answer) // a client that has gone misses nothing
}

func (s *Store) answer(operation string, body []byte) (any, error) {
	var q request
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, &failure{"SerializationException", "The request body is not the JSON of " + operation + ": " + err.Error()}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if operation == "GetRandomPassword" {
		return s.randomPassword(q)
	}
	secret := s.declared(q.SecretId)
	if secret == nil {
		return nil, notFound("secret.")
	}
	v := s.values[secret.ARN]
	switch operation {
	case "GetSecretValue":
		return s.getValue(secret, v, q)
	case "PutSecretValue":
		return s.putValue(secret, v, q)
	case "UpdateSecretVersionStage":
		return s.updateStage(secret, v, q)
	case "DescribeSecret":
		return s.describe(secret, v), nil
	case "ListSecretVersionIds":
		return s.list(secret, v, q), nil
	}
	return nil, &failure{"UnknownOperationException", fmt.Sprintf("The local runtime does not serve secretsmanager:%s.", operation)}
}

func (s *Store) getValue(secret *Secret, v *versions, q request) (any, error) {
	stage := q.VersionStage
	if stage == "" && q.VersionId == "" {
		stage = stageCurrent
	}
	item := v.find(q.VersionId, stage)
	switch {
	case item != nil:
	case q.VersionId != "" && q.VersionStage != "" && v.find(q.VersionId, "") != nil:
		return nil, &failure{"InvalidRequestException", "You provided a VersionStage that is not associated to the provided VersionId."}
	case q.VersionId != "":
		return nil, notFound("secret value for VersionId: %s", q.VersionId)
	default:
		return nil, notFound("secret value for staging label: %s", stage)
	}
	answer := map[string]any{
		"ARN": secret.ARN, "Name": secret.Name, "VersionId": item.ID, "VersionStages": item.Stages, "CreatedDate": epoch(item.Created),
	}
	if item.String != nil {
		answer["SecretString"] = *item.String
	} else {
		answer["SecretBinary"] = item.Binary
	}
	return answer, nil
}

// putValue adds a version. The same token with the same value is the same version.
func (s *Store) putValue(secret *Secret, v *versions, q request) (any, error) {
	if (q.SecretString == nil) == (q.SecretBinary == nil) {
		return nil, invalid("You must provide either SecretString or SecretBinary.")
	}
	if q.SecretString != nil && len(*q.SecretString) > maxValue || len(q.SecretBinary) > maxValue {
		return nil, invalid("The secret value exceeds %d bytes.", maxValue)
	}
	stages := q.VersionStages
	if len(stages) == 0 {
		stages = []string{stageCurrent}
	}
	id := q.ClientRequestToken
	if id == "" {
		var err error
		if id, err = s.newID(); err != nil {
			return nil, err
		}
	}
	item := v.find(id, "")
	if item != nil && !item.holds(q) {
		return nil, &failure{"ResourceExistsException", "You can't use ClientRequestToken " + id + " because that value is already in use for a version of secret " + secret.ARN + "."}
	}
	if item == nil {
		v.Items = append(v.Items, version{ID: id, Created: s.cfg.Now().UTC(), String: q.SecretString, Binary: q.SecretBinary})
		item = &v.Items[len(v.Items)-1]
		if len(v.Items) == 1 && !slices.Contains(stages, stageCurrent) { // the first is current in any case
			stages = append(slices.Clone(stages), stageCurrent)
		}
	}
	for _, stage := range stages {
		v.move(stage, item)
	}
	attached := slices.Clone(item.Stages)
	if err := s.changed(v); err != nil {
		return nil, err
	}
	return map[string]any{"ARN": secret.ARN, "Name": secret.Name, "VersionId": id, "VersionStages": attached}, nil
}

func (v *version) holds(q request) bool {
	if q.SecretString == nil || v.String == nil {
		return q.SecretString == nil && v.String == nil && bytes.Equal(v.Binary, q.SecretBinary)
	}
	return *q.SecretString == *v.String
}

func (s *Store) updateStage(secret *Secret, v *versions, q request) (any, error) {
	if q.VersionStage == "" {
		return nil, invalid("You must provide VersionStage.")
	}
	var to *version
	if q.MoveToVersionId != "" {
		if to = v.find(q.MoveToVersionId, ""); to == nil {
			return nil, notFound("secret version: %s", q.MoveToVersionId)
		}
	}
	from := v.find("", q.VersionStage)
	switch {
	case from != nil && from != to && q.RemoveFromVersionId != from.ID:
		return nil, invalid("The parameter RemoveFromVersionId can't be empty or another version. Staging label %s is currently attached to version %s, so you must explicitly reference that version in RemoveFromVersionId.", q.VersionStage, from.ID)
	case from == nil && q.RemoveFromVersionId != "":
		return nil, invalid("Staging label %s is not attached to version %s.", q.VersionStage, q.RemoveFromVersionId)
	case to == nil && q.VersionStage == stageCurrent:
		return nil, invalid("You can only move staging label %s to a different secret version. It can't be completely removed.", stageCurrent)
	}
	v.move(q.VersionStage, to)
	if err := s.changed(v); err != nil {
		return nil, err
	}
	return map[string]any{"ARN": secret.ARN, "Name": secret.Name}, nil
}

// changed keeps a secret that was changed.
func (s *Store) changed(v *versions) error {
	v.prune()
	v.Changed = s.cfg.Now().UTC()
	return s.save()
}

func (s *Store) describe(secret *Secret, v *versions) any {
	stages := map[string][]string{}
	for _, item := range v.Items {
		if len(item.Stages) > 0 {
			stages[item.ID] = item.Stages
		}
	}
	type tag struct{ Key, Value string }
	tags := []tag{}
	for k, value := range secret.Tags {
		tags = append(tags, tag{k, value})
	}
	slices.SortFunc(tags, func(a, b tag) int { return strings.Compare(a.Key, b.Key) })
	return map[string]any{
		"ARN": secret.ARN, "Name": secret.Name, "Description": secret.Description, "Tags": tags,
		"CreatedDate": epoch(v.Created), "LastChangedDate": epoch(v.Changed), "VersionIdsToStages": stages,
	}
}

func (s *Store) list(secret *Secret, v *versions, q request) any {
	list := []any{}
	for _, item := range v.Items {
		if len(item.Stages) > 0 || q.IncludeDeprecated {
			list = append(list, map[string]any{"VersionId": item.ID, "VersionStages": item.Stages, "CreatedDate": epoch(item.Created)})
		}
	}
	return map[string]any{"ARN": secret.ARN, "Name": secret.Name, "Versions": list}
}

func (s *Store) randomPassword(q request) (any, error) {
	g := Generate{
		ExcludeCharacters: q.ExcludeCharacters, ExcludeLowercase: q.ExcludeLowercase, ExcludeUppercase: q.ExcludeUppercase,
		ExcludeNumbers: q.ExcludeNumbers, ExcludePunctuation: q.ExcludePunctuation, IncludeSpace: q.IncludeSpace,
		AllowEachIncludedType: q.RequireEachIncludedType != nil && !*q.RequireEachIncludedType,
	}
	if q.PasswordLength != nil {
		if g.Length = *q.PasswordLength; g.Length == 0 {
			return nil, invalid("PasswordLength must be between 1 and %d.", maxLength)
		}
	}
	password, err := g.password(s.cfg.Random)
	if err != nil {
		return nil, invalid("%v.", err)
	}
	return map[string]any{"RandomPassword": password}, nil
}

// epoch is a time as the JSON protocols have it: seconds, with milliseconds.
func epoch(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
