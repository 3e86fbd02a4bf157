package queue

import (
	"context"
	"errors"
	"time"
)

// maxMoves is how many move tasks are remembered.
const maxMoves = 10

// maxMoveRate is the most messages a second that a caller may ask for.
const maxMoveRate = 500

// States of a move task.
const (
	moveRunning    = "RUNNING"
	moveCompleted  = "COMPLETED"
	moveCancelling = "CANCELLING"
	moveCancelled  = "CANCELLED"
	moveFailed     = "FAILED"
)

// moveTask moves the messages of a dead-letter queue back. Broker.mu guards it.
type moveTask struct {
	handle      string
	source      *queueState
	destination *queueState // nil: wherever each message came from
	rate        int         // messages a second; zero: as fast as it goes
	status      string
	reason      string
	started     time.Time
	total       int
	moved       int
	done        chan struct{} // closed when it has ended
}

// startMove begins to move what can be received from a dead-letter queue.
func (b *Broker) startMove(sourceARN, destinationARN string, rate int) (*moveTask, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	source, err := b.current(sourceARN)
	if err != nil {
		return nil, &Error{Code: "ResourceNotFoundException", Message: "The resource that you specified for the SourceArn parameter doesn't exist."}
	}
	if len(b.sourcesOf(source)) == 0 {
		return nil, invalidParameter("Source queue must be configured as a Dead Letter Queue.")
	}
	if rate < 0 || rate > maxMoveRate {
		return nil, invalidParameter("Value %d for parameter MaxNumberOfMessagesPerSecond is invalid. Reason: Must be between 1 and %d.", rate, maxMoveRate)
	}
	task := &moveTask{
		handle: b.cfg.NewID(), source: source, rate: rate, status: moveRunning,
		started: b.cfg.Now(), total: source.counts[visible], done: make(chan struct{}),
	}
	if destinationARN != "" {
		if task.destination, err = b.find(destinationARN); err != nil {
			return nil, &Error{Code: "ResourceNotFoundException", Message: "The resource that you specified for the DestinationArn parameter doesn't exist."}
		}
		if task.destination.FIFO != source.FIFO {
			return nil, invalidParameter("Source and destination queues must be of the same type.")
		}
	}
	for _, other := range b.moves {
		if other.source == source && other.status == moveRunning {
			return nil, invalidParameter("There is already a task running. Only one active task is allowed for a source queue arn at a given time.")
		}
	}
	b.moves = append(b.moves, task)
	if len(b.moves) > maxMoves {
		b.moves = b.moves[1:]
	}
	b.work.Go(func() { b.runMove(task) })
	return task, nil
}

// Redrive moves what can be received from a dead-letter queue back to the queues that it came from,
// and returns how many messages it has moved when that is done or ctx ends. In the latter case it
// goes on after the call.
func (b *Broker) Redrive(ctx context.Context, queueARN string) (moved int, err error) {
	task, err := b.startMove(queueARN, "", 0)
	if err != nil {
		return 0, err
	}
	select {
	case <-task.done:
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if task.status == moveFailed {
		err = &Error{Code: task.reason, Message: "The redrive has stopped: " + task.reason}
	}
	return task.moved, err
}

// runMove moves one message at a time, so that other calls get their turn.
func (b *Broker) runMove(task *moveTask) {
	defer close(task.done)
	pause := time.Duration(0)
	if task.rate > 0 {
		pause = time.Second / time.Duration(task.rate)
	}
	for b.moveOne(task) {
		if pause == 0 {
			select {
			case <-b.closed:
				return
			default:
				continue
			}
		}
		timer := time.NewTimer(pause)
		select {
		case <-b.closed:
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// moveOne moves the next message and says whether there may be more.
func (b *Broker) moveOne(task *moveTask) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if task.status == moveCancelling {
		task.status = moveCancelled
		return false
	}
	task.source.revealDue(b.cfg.Now())
	next := task.source.candidates(1)
	if len(next) == 0 || task.moved >= task.total {
		task.status = moveCompleted
		return false
	}
	if err := b.moveBack(task, next[0]); err != nil {
		task.status, task.reason = moveFailed, err.Error()
		return false
	}
	task.moved++
	return true
}

// moveBack makes a new message of a dead letter: new id, new age, no receives.
func (b *Broker) moveBack(task *moveTask, m *message) error {
	destination := task.destination
	if destination == nil {
		var err error
		if destination, err = b.find(m.SourceARN); err != nil {
			return errors.New("CouldNotDetermineMessageSource")
		}
	}
	now := b.cfg.Now()
	moved := &message{record: m.record, seq: destination.nextSeq}
	moved.ID = b.cfg.NewID()
	moved.Sent = now
	moved.SourceARN = ""
	moved.Delay = destination.Delay
	if destination.FIFO {
		moved.Sequence = sequenceNumber(moved.seq)
	}
	if moved.Delay > 0 {
		moved.status, moved.due = delayed, now.Add(moved.Delay)
	}
	return b.transfer(task.source, m, destination, moved)
}

// cancelMove stops a running task and returns how many messages it has moved.
func (b *Broker) cancelMove(handle string) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, task := range b.moves {
		if task.handle == handle {
			if task.status != moveRunning {
				return 0, &Error{Code: "UnsupportedOperation", Message: "Only active tasks can be cancelled."}
			}
			task.status = moveCancelling
			return task.moved, nil
		}
	}
	return 0, &Error{Code: "ResourceNotFoundException", Message: "Task does not exist."}
}

// sourcesOf lists the queues whose dead-letter queue is q, in the order of their declaration.
func (b *Broker) sourcesOf(q *queueState) []*queueState {
	var sources []*queueState
	for _, name := range b.order {
		if source := b.queues[name]; source.RedriveTarget == q.ARN {
			sources = append(sources, source)
		}
	}
	return sources
}
