package idempotency

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/oklog/ulid/v2"

	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/fault"
)

// ResultBytes is the largest result, as JSON: it is ids, not an answer.
const ResultBytes = 4 << 10

// Config configures a Store. Only Table is required.
type Config struct {
	// Table is the name of a table that catalog.IdempotencyTable declares.
	Table string
	// Now tells the time. Nil: time.Now.
	Now func() time.Time
	// NewID makes the ids of claims. Nil: ULIDs.
	NewID func() string
	// Keep is how long a result is kept, counted from the first attempt, and at least
	// until the lease of the owner that stored it has ended. 0: 24 hours.
	Keep time.Duration
	// Lease is how long a claim lasts when the context has no deadline. 0: 1 minute.
	Lease time.Duration
	// Skew is how far apart two clocks may be: so much later than its end a lease
	// can be taken over. 0: 1 second.
	Skew time.Duration
	// Reserve is the time that Do keeps between the end of the effect's context
	// and that of the lease, to store the result: at most a quarter of what there
	// is. 0: 1 second.
	Reserve time.Duration
}

// Store keeps idempotency records.
type Store struct {
	db    *dynamodb.Client
	shape catalog.Table
	cfg   Config
}

// New returns a Store of the records in cfg.Table.
func New(db *dynamodb.Client, cfg Config) *Store {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.NewID == nil {
		cfg.NewID = func() string { return ulid.MustNew(ulid.Timestamp(cfg.Now()), rand.Reader).String() }
	}
	orDefault(&cfg.Keep, 24*time.Hour)
	orDefault(&cfg.Lease, time.Minute)
	orDefault(&cfg.Skew, time.Second)
	orDefault(&cfg.Reserve, time.Second)
	return &Store{db: db, shape: catalog.IdempotencyTable(), cfg: cfg}
}

func orDefault(d *time.Duration, fallback time.Duration) {
	if *d == 0 {
		*d = fallback
	}
}

// Claim is the right to do a request until the lease ends.
type Claim struct {
	// ID is the same for every attempt of one request, and of no other.
	ID string
	// Fence counts the owners that the request has had. It is 1 for the first.
	Fence int64
	// Lease is when the claim ends, by the Store's clock.
	Lease time.Time

	key     string
	owner   string
	payload string
}

// First reports whether nobody has tried before, so that nothing that ID names
// can be there.
func (c Claim) First() bool { return c.Fence == 1 }

// Begin claims a request, or returns the result that it has had. Of claim and
// result one is set. It returns an InvalidArgument error for a bad key, an
// IdempotencyReused error when the key came with another payload, and an
// IdempotencyInProgress error, with the detail retryAfter in seconds, while
// somebody else works on it.
func (s *Store) Begin(ctx context.Context, r Request) (claim *Claim, result []byte, err error) {
	if err := r.Validate(); err != nil {
		return nil, nil, err
	}
	owner := rand.Text()
	lease := s.lease(ctx)
	// A record can change between its reading and its taking over; each such
	// change is somebody else's progress.
	for range takeovers {
		now := s.cfg.Now()
		fresh := record{
			key: r.id(), status: running, payload: r.Payload.String(),
			id: s.cfg.NewID(), owner: owner, fence: 1,
			lease: now.Add(lease), expires: now.Add(s.cfg.Keep),
		}
		found, err := s.create(ctx, fresh, now)
		if err != nil {
			return nil, nil, err
		}
		switch {
		case found == nil:
			return claimOf(fresh), nil, nil
		case found.owner == owner && found.status == running:
			return claimOf(*found), nil, nil // the answer to the call was lost, and the SDK repeated it
		case found.payload != fresh.payload:
			return nil, nil, fault.New(fault.IdempotencyReused, "the Idempotency-Key was used with another request: choose a new one")
		case found.status == done:
			return nil, found.result, nil
		case s.held(*found, now):
			return nil, nil, inProgress(found.lease.Sub(now))
		}
		taken := *found
		taken.owner, taken.fence, taken.lease = owner, found.fence+1, fresh.lease
		ok, err := s.takeOver(ctx, *found, taken)
		if err != nil {
			return nil, nil, err
		}
		if ok {
			return claimOf(taken), nil, nil
		}
	}
	return nil, nil, inProgress(0)
}

// takeovers bounds how often Begin looks again at a record that keeps changing.
const takeovers = 5

func claimOf(r record) *Claim {
	return &Claim{ID: r.id, Fence: r.fence, Lease: r.lease, key: r.key, owner: r.owner, payload: r.payload}
}

// lease is how long a claim made now may last: what is left until ctx ends.
func (s *Store) lease(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return s.cfg.Lease
	}
	return max(time.Until(deadline), 0)
}

// held reports whether the owner of a running request may still be at work.
func (s *Store) held(r record, now time.Time) bool {
	return !r.lease.IsZero() && !now.After(r.lease.Add(s.cfg.Skew))
}

func inProgress(left time.Duration) error {
	wait := min(max(math.Ceil(left.Seconds()), 1), 30)
	return fault.New(fault.IdempotencyInProgress, "a request with this Idempotency-Key is being worked on: try again").
		With("retryAfter", int(wait))
}

// create writes a new record unless there is one that counts, which it returns.
func (s *Store) create(ctx context.Context, r record, now time.Time) (*record, error) {
	_, err := s.db.PutItem(ctx, &dynamodb.PutItemInput{
		TableName:           &s.cfg.Table,
		Item:                r.item(s.shape),
		ConditionExpression: aws.String("attribute_not_exists(#pk) OR (#expires < :now AND #lease < :lapsed)"),
		ExpressionAttributeNames: map[string]string{
			"#pk": s.shape.PartitionKey.Name, "#expires": attrExpires, "#lease": attrLease,
		},
		ExpressionAttributeValues: attributes{
			":now": text(timeText(now)), ":lapsed": text(timeText(now.Add(-s.cfg.Skew))),
		},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	return s.refused(err, "claim", r.key)
}

// takeOver gives a record, as it was found, a new owner. It reports whether it did.
func (s *Store) takeOver(ctx context.Context, found, taken record) (bool, error) {
	changed, err := s.update(ctx, "take over", found.key, found.owner,
		"SET #owner = :new, #fence = :fence, #lease = :lease",
		map[string]string{"#fence": attrFence, "#lease": attrLease},
		attributes{":new": text(taken.owner), ":fence": number(taken.fence), ":lease": text(timeText(taken.lease))})
	if err != nil {
		return false, err
	}
	return changed == nil || changed.owner == taken.owner && changed.status == running, nil
}

// Finish stores the result of a claimed request: JSON, at most ResultBytes. It
// returns an IdempotencyInProgress error when the claim was lost to another owner,
// whose result counts.
func (s *Store) Finish(ctx context.Context, c Claim, result []byte) error {
	if err := checkResult(result); err != nil {
		return fmt.Errorf("store result of %s: %w", c.ID, err)
	}
	change, names, values := finishing(result)
	found, err := s.update(ctx, "finish", c.key, c.owner, change, names, values)
	switch {
	case err != nil:
		return err
	case found == nil, found.owner == c.owner && found.status == done && bytes.Equal(found.result, result):
		return nil
	default:
		return fault.Wrap(fault.IdempotencyInProgress, errLost, "another attempt with this Idempotency-Key has taken over: try again")
	}
}

// Finishing returns the part of a DynamoDB transaction that does what Finish does, and
// refuses all of it unless c still owns its request. Call it in an effect that Do runs,
// and return the same result from the effect.
func (s *Store) Finishing(c Claim, result any) (types.TransactWriteItem, error) {
	encoded, err := json.Marshal(result)
	if err != nil {
		return types.TransactWriteItem{}, fmt.Errorf("encode result %T: %w", result, err)
	}
	if err := checkResult(encoded); err != nil {
		return types.TransactWriteItem{}, fmt.Errorf("store result of %s: %w", c.ID, err)
	}
	condition, names, values := ownedBy(c.owner)
	change, moreNames, moreValues := finishing(encoded)
	maps.Copy(names, moreNames)
	maps.Copy(values, moreValues)
	return types.TransactWriteItem{Update: &types.Update{
		TableName:                 &s.cfg.Table,
		Key:                       s.keyOf(c.key),
		UpdateExpression:          &change,
		ConditionExpression:       &condition,
		ExpressionAttributeNames:  names,
		ExpressionAttributeValues: values,
	}}, nil
}

// finishing is the change that stores a result.
func finishing(result []byte) (change string, names map[string]string, values attributes) {
	return "SET #status = :done, #result = :result",
		map[string]string{"#result": attrResult},
		attributes{":done": text(string(done)), ":result": &types.AttributeValueMemberB{Value: result}}
}

// errLost says that a claim has ended and another one has begun.
var errLost = errors.New("the claim was lost to another owner")

func checkResult(result []byte) error {
	switch {
	case len(result) > ResultBytes:
		return fmt.Errorf("it has %d bytes, the most is %d: store ids, not answers", len(result), ResultBytes)
	case bytes.Contains(result, []byte("X-Amz-Signature")):
		return errors.New("it holds a signed URL: store ids and sign again")
	default:
		return nil
	}
}

// Abandon ends a claim whose outcome is not known: the next attempt may begin at
// once, with the same id. A claim that was lost is left alone.
func (s *Store) Abandon(ctx context.Context, c Claim) error {
	_, err := s.update(ctx, "abandon", c.key, c.owner,
		"SET #lease = :never", map[string]string{"#lease": attrLease},
		attributes{":never": text(timeText(time.Time{}))})
	return err
}

// Forget ends a claim under which nothing was done: the key is free, for another
// payload too. A claim that was lost is left alone.
func (s *Store) Forget(ctx context.Context, c Claim) error {
	condition, names, values := ownedBy(c.owner)
	_, err := s.db.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName:                           &s.cfg.Table,
		Key:                                 s.keyOf(c.key),
		ConditionExpression:                 &condition,
		ExpressionAttributeNames:            names,
		ExpressionAttributeValues:           values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	_, err = s.refused(err, "forget", c.key)
	return err
}

// Guard returns the part of a DynamoDB transaction that refuses all of it unless c still
// owns its request: an owner that was taken over can do nothing more. It says nothing of
// what earlier owners have done; see Finishing.
func (s *Store) Guard(c Claim) types.TransactWriteItem {
	condition, names, values := ownedBy(c.owner)
	return types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
		TableName:                 &s.cfg.Table,
		Key:                       s.keyOf(c.key),
		ConditionExpression:       &condition,
		ExpressionAttributeNames:  names,
		ExpressionAttributeValues: values,
	}}
}

func (s *Store) keyOf(key string) attributes {
	return attributes{s.shape.PartitionKey.Name: text(key)}
}

// ownedBy is the condition that a record is running and has the given owner.
func ownedBy(owner string) (condition string, names map[string]string, values attributes) {
	return "#owner = :owner AND #status = :running",
		map[string]string{"#owner": attrOwner, "#status": attrStatus},
		attributes{":owner": text(owner), ":running": text(string(running))}
}

// update changes a running record that has the given owner. It returns the record
// as it is when there is another one, with an empty owner when there is none, and
// nil when it did the change.
func (s *Store) update(ctx context.Context, operation, key, owner, change string, names map[string]string, values attributes) (*record, error) {
	condition, allNames, allValues := ownedBy(owner)
	maps.Copy(allNames, names)
	maps.Copy(allValues, values)
	_, err := s.db.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName:                           &s.cfg.Table,
		Key:                                 s.keyOf(key),
		UpdateExpression:                    &change,
		ConditionExpression:                 &condition,
		ExpressionAttributeNames:            allNames,
		ExpressionAttributeValues:           allValues,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	return s.refused(err, operation, key)
}

// refused returns the record on which a condition failed; it is empty when there
// was none. Nil and nil is a write that was done.
func (s *Store) refused(err error, operation, key string) (*record, error) {
	var failed *types.ConditionalCheckFailedException
	switch {
	case err == nil:
		return nil, nil
	case !errors.As(err, &failed):
		return nil, failure(err, operation, key)
	case len(failed.Item) == 0:
		return &record{}, nil
	}
	found, err := decode(s.shape, failed.Item)
	if err != nil {
		return nil, err
	}
	return &found, nil
}
