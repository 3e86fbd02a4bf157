package console

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
)

//go:embed assets
var assets embed.FS

// handler routes the page, its assets and what it asks for.
func (c *Console) handler() (http.Handler, error) {
	page, err := template.ParseFS(assets, "assets/index.html")
	if err != nil {
		return nil, fmt.Errorf("console: read the page: %w", err)
	}
	files, err := fs.Sub(assets, "assets")
	if err != nil {
		return nil, fmt.Errorf("console: read the page's files: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { c.servePage(w, r, page) })
	mux.Handle("GET /assets/", http.StripPrefix("/assets/", fresh(http.FileServerFS(files))))
	mux.HandleFunc("GET /stream", c.serveStream)
	mux.HandleFunc("GET /data/functions/{name}", c.serveFunction)
	mux.HandleFunc("GET /data/queues/{name}", c.serveMessages)
	mux.HandleFunc("POST /data/queues/{name}/redrive", c.serveRedrive)
	mux.HandleFunc("GET /data/events/{seq}", c.serveEvent)
	mux.HandleFunc("GET /data/traces/{id}", c.serveTrace)
	mux.HandleFunc("GET /data/tables/{name}", c.serveItems)
	mux.HandleFunc("GET /data/buckets/{name}", c.serveObjects)
	mux.HandleFunc("GET /data/buckets/{name}/object", c.serveObject)
	mux.HandleFunc("GET /data/buckets/{name}/content", c.serveContent)
	if c.cfg.Chaos != nil {
		mux.Handle("/chaos/", http.StripPrefix("/chaos", c.cfg.Chaos))
	}
	return c.guard(mux), nil
}

// fresh has files asked for again: the next build may have others.
func fresh(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		next.ServeHTTP(w, r)
	})
}

// named is a resource that the page offers to look into.
type named struct {
	Name  string `json:"name"`
	Label string `json:"label"`
	Note  string `json:"note,omitempty"`
}

// setting is what the page is told when it is loaded.
type setting struct {
	Token string `json:"token"`
	Run   string `json:"run"`
}

func (c *Console) tableRows() []named {
	all := c.shown.Load()
	rows := make([]named, 0, len(all.Tables))
	for _, t := range all.Tables {
		rows = append(rows, named{Name: t.Name, Label: strings.TrimPrefix(t.Name, all.labels.tables)})
	}
	return rows
}

func (c *Console) bucketRows() []named {
	all := c.shown.Load()
	rows := make([]named, 0, len(all.Buckets))
	for _, b := range all.Buckets {
		rows = append(rows, named{Name: b.Name, Label: strings.TrimPrefix(b.Name, all.labels.buckets), Note: b.Note})
	}
	return rows
}

func (c *Console) servePage(w http.ResponseWriter, r *http.Request, page *template.Template) {
	raw, err := json.Marshal(setting{Token: c.cfg.Token, Run: c.run})
	if err != nil {
		c.failed(w, r, err)
		return
	}
	var out bytes.Buffer
	if err := page.Execute(&out, string(raw)); err != nil {
		c.failed(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	c.write(w, out.Bytes())
}

func (c *Console) serveFunction(w http.ResponseWriter, r *http.Request) {
	detail, ok := c.functions.detail(r.PathValue("name"))
	if !ok {
		fail(w, http.StatusNotFound, "There is no function of this name.")
		return
	}
	c.answer(w, detail)
}

func (c *Console) serveEvent(w http.ResponseWriter, r *http.Request) {
	seq, err := strconv.ParseUint(r.PathValue("seq"), 10, 64)
	e, ok := c.events.find(seq)
	if err != nil || !ok {
		fail(w, http.StatusNotFound, "The event is no longer kept: only the latest are. The file of all events has it.")
		return
	}
	c.answer(w, struct {
		Event
		Raw json.RawMessage `json:"raw,omitempty"`
	}{e, e.raw})
}

func (c *Console) serveTrace(w http.ResponseWriter, r *http.Request) {
	trace, ok := c.traces.Waterfall(r.PathValue("id"))
	if !ok {
		fail(w, http.StatusNotFound, "The trace is not kept: only the latest are.")
		return
	}
	c.answer(w, trace)
}

func (c *Console) answer(w http.ResponseWriter, v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		c.cfg.Logger.Error("an answer to the page could not be encoded", "error", err)
		fail(w, http.StatusInternalServerError, "The answer could not be encoded.")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	c.write(w, raw)
}

func (c *Console) write(w http.ResponseWriter, body []byte) {
	if _, err := w.Write(body); err != nil {
		c.cfg.Logger.Debug("an answer to the page could not be written", "error", err)
	}
}

// failed answers for an engine that did not do what was asked.
func (c *Console) failed(w http.ResponseWriter, r *http.Request, err error) {
	c.cfg.Logger.Warn("the page could not be served", "path", r.URL.Path, "error", err)
	fail(w, http.StatusBadGateway, err.Error())
}

// fail answers with why it is not what was asked for.
func fail(w http.ResponseWriter, status int, message string) {
	body, err := json.Marshal(map[string]string{"error": message})
	if err != nil {
		body = []byte(`{}`) // a string always encodes
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body) // whoever asked has gone
}
