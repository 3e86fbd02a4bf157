package lambda

import (
	"bytes"
	"fmt"
	"io"
	"sync"
)

// maxLogLine bounds the part of a line that is held back until its end comes.
const maxLogLine = 256 << 10

// lineLog is the log of a function, shared by its processes.
type lineLog struct {
	mu  sync.Mutex
	out io.Writer
}

// stream is the part of one process, whose lines stay whole.
func (l *lineLog) stream() *logStream { return &logStream{log: l} }

// logStream gathers what a process writes into lines.
type logStream struct {
	log     *lineLog
	partial []byte // guarded by log.mu
}

// Write never fails: a function must not notice what becomes of its log.
func (s *logStream) Write(b []byte) (int, error) {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	end := bytes.LastIndexByte(b, '\n') + 1
	if end == 0 {
		s.partial = append(s.partial, b...)
		if len(s.partial) > maxLogLine {
			s.endLine()
		}
		return len(b), nil
	}
	s.emit(append(s.partial, b[:end]...))
	s.partial = append(s.partial[:0], b[end:]...)
	return len(b), nil
}

// printf writes a line of Lambda's own.
func (s *logStream) printf(format string, args ...any) {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.emit(fmt.Appendf(nil, format+"\n", args...))
}

// flush ends the last line, once the process is gone.
func (s *logStream) flush() {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.endLine()
}

func (s *logStream) endLine() {
	if len(s.partial) > 0 {
		s.emit(append(s.partial, '\n'))
		s.partial = nil
	}
}

// emit drops what the log does not take: there is nowhere better to put it.
func (s *logStream) emit(line []byte) { _, _ = s.log.out.Write(line) }
