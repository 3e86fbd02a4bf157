package chaos

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// maxSettings bounds the text of settings that is read.
const maxSettings = 64 << 10

// Status is what the test API answers.
type Status struct {
	Settings string        `json:"settings"` // as Parse reads them: they repeat the run
	Seed     uint64        `json:"seed"`
	On       bool          `json:"on"`
	Counts   []Count       `json:"counts"`
	Faults   []Description `json:"faults"`
}

// Handler is the test API:
//
//	GET /                    the Status
//	PUT /                    replaces the settings by those in the body; the Status
//	PUT /restarts/{service}  kills the engine of a service; 204 when it is back
//
// It asks nobody who they are: whoever mounts it answers for that.
func (c *Chaos) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { c.writeStatus(w) })
	mux.HandleFunc("PUT /{$}", c.putSettings)
	mux.HandleFunc("PUT /restarts/{service}", c.putRestart)
	return mux
}

func (c *Chaos) putSettings(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxSettings))
	if err != nil {
		refuse(w, http.StatusBadRequest, fmt.Errorf("read the settings: %w", err))
		return
	}
	s, err := Parse(string(text))
	if err == nil {
		err = c.Set(s)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	c.writeStatus(w)
}

func (c *Chaos) putRestart(w http.ResponseWriter, r *http.Request) {
	switch err := c.Restart(r.Context(), r.PathValue("service")); {
	case errors.Is(err, ErrNoEngine):
		refuse(w, http.StatusNotFound, err)
	case err != nil:
		refuse(w, http.StatusInternalServerError, err)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

func (c *Chaos) writeStatus(w http.ResponseWriter) {
	s := c.Settings()
	write(w, http.StatusOK, Status{Settings: s.String(), Seed: s.Seed, On: c.On(), Counts: c.Counts(), Faults: Faults()})
}

func refuse(w http.ResponseWriter, status int, err error) {
	write(w, status, map[string]string{"error": err.Error()})
}

func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a client that has gone misses nothing
}
