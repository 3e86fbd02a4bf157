package stack

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/stowage-dev/stowage/scripts/local/template"
)

// DevFile tells tools where a running stack is and how to talk to it. It is
// there while the stack is ready, and only then.
type DevFile struct {
	APIURL string `json:"apiUrl"`
	// Tokens are access tokens by the workspace that their user owns.
	Tokens map[string]string `json:"tokens"`
	Bucket string            `json:"bucket"`
	// DeadLetterBucket gets the records that stream mappings give up, and
	// DeadLetterQueues, by their URLs, the messages that other queues do.
	DeadLetterBucket string   `json:"deadLetterBucket"`
	DeadLetterQueues []string `json:"deadLetterQueues"`
	// Queues are the URLs of all queues, by the paths of their constructs.
	Queues           map[string]string `json:"queues"`
	Table            string            `json:"table"`
	S3Endpoint       string            `json:"s3Endpoint"`
	DynamoDBEndpoint string            `json:"dynamodbEndpoint"`
	AccessKeyID      string            `json:"accessKeyId"`
	SecretAccessKey  string            `json:"secretAccessKey"`
	Region           string            `json:"region"`
	// Databases are the commands that connect to each database as its master user: by its
	// socket, which asks whoever may open it for nothing.
	Databases []string `json:"databases,omitempty"`
	// ConsoleURL is the page that shows what goes on.
	ConsoleURL string `json:"consoleUrl"`
	// ConsoleToken is what requests to it that change something carry in X-Console-Token.
	ConsoleToken string `json:"consoleToken"`
	// Events is the JSON-lines file to which every event put on a bus is appended.
	Events string `json:"events"`
	// TokenURL issues further tokens to people on the command line.
	TokenURL string `json:"tokenUrl"`
	// PID is the runtime's process. After a kill -9 the file stays until the next
	// start; whoever must know looks whether this process runs.
	PID int `json:"pid"`
}

// Dev describes the stack, with the tokens that were made for it.
func (s *Stack) Dev(tokens map[string]string) DevFile {
	return DevFile{
		APIURL: s.APIURL(), Tokens: tokens, Bucket: s.contentBucket(), Table: s.catalogTable(),
		DeadLetterBucket: s.deadLetterBucket(), DeadLetterQueues: s.deadLetterQueues(), Queues: s.queues(),
		S3Endpoint: s.GatewayURL(), DynamoDBEndpoint: s.GatewayURL(), Region: s.region,
		AccessKeyID: s.admin.AccessKeyID, SecretAccessKey: s.admin.SecretAccessKey,
		ConsoleURL: s.ConsoleURL(), ConsoleToken: s.console.Token(), Events: s.state.events(), TokenURL: s.Issuer.URL() + "/token", PID: os.Getpid(),
		Databases: s.databaseCommands(),
	}
}

func (s *Stack) databaseCommands() []string {
	var commands []string
	for _, db := range s.Databases {
		commands = append(commands, fmt.Sprintf("psql -h %s -p %d -U %s %s", db.Engine.Socket(), db.Engine.Port(), db.Declared.Master, db.Declared.Name))
	}
	return commands
}

// contentBucket is the bucket whose objects somebody is told of.
func (s *Stack) contentBucket() string {
	i := slices.IndexFunc(s.Model.Buckets, func(b *template.Bucket) bool { return len(b.Notifications) > 0 || b.EventBridge })
	if i < 0 {
		return ""
	}
	return s.Model.Buckets[i].Name
}

// deadLetterBucket is the first bucket that a mapping gives records up to.
func (s *Stack) deadLetterBucket() string {
	for _, m := range s.Model.Mappings {
		i := slices.IndexFunc(s.Model.Buckets, func(b *template.Bucket) bool { return b.ARN == m.OnFailureARN })
		if i >= 0 {
			return s.Model.Buckets[i].Name
		}
	}
	return ""
}

// deadLetterQueues are the queues that others give messages up to.
func (s *Stack) deadLetterQueues() []string {
	var urls []string
	for _, q := range s.Model.Queues {
		redrives := func(other *template.Queue) bool { return other.RedriveTargetARN == q.ARN }
		if slices.ContainsFunc(s.Model.Queues, redrives) {
			urls = append(urls, q.URL)
		}
	}
	return urls
}

func (s *Stack) queues() map[string]string {
	urls := map[string]string{}
	for _, q := range s.Model.Queues {
		urls[q.ConstructPath] = q.URL
	}
	return urls
}

// catalogTable is the table that has a stream.
func (s *Stack) catalogTable() string {
	i := slices.IndexFunc(s.Model.Tables, func(t template.Table) bool { return t.StreamView != "" })
	if i < 0 {
		return ""
	}
	return s.Model.Tables[i].Name
}

// DevPath is where WriteDev writes.
func (s *Stack) DevPath() string { return s.state.dev() }

// WriteDev writes dev.json, whole or not at all. Close removes it.
func (s *Stack) WriteDev(d DevFile) error {
	raw, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return fmt.Errorf("encode dev.json: %w", err)
	}
	tmp := s.state.path(".dev.json.tmp")
	if err := os.WriteFile(tmp, append(raw, '\n'), 0o600); err != nil {
		return fmt.Errorf("write dev.json: %w", err)
	}
	if err := os.Rename(tmp, s.state.dev()); err != nil {
		return fmt.Errorf("write dev.json: %w", err)
	}
	return nil
}

func (s *Stack) removeDev() error {
	if err := os.Remove(s.state.dev()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove dev.json: %w", err)
	}
	return nil
}
