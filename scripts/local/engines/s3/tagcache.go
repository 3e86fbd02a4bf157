package s3

import "sync"

// tagCache remembers what the engine's process has said of objects' tags, until a change of the object is
// told: which is before whoever made the change hears that it was made. Asking the process costs as much
// as a small request does.
type tagCache struct {
	mu      sync.Mutex
	objects map[objectName]*knownTags
}

type objectName struct{ bucket, key string }

// knownTags is what is known of one object: answers by version. It is replaced, not changed, when the
// object changes: an answer that was asked for before is then kept nowhere.
type knownTags struct{ versions map[string]tagsAnswer }

// maxKnownTags is of how many objects tags are remembered.
const maxKnownTags = 4096

// find gives the answer to a query, or where to keep it.
func (c *tagCache) find(q tagsQuery) (tagsAnswer, bool, *knownTags) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name := objectName{q.Bucket, q.Key}
	known := c.objects[name]
	if known == nil {
		if c.objects == nil || len(c.objects) >= maxKnownTags {
			c.objects = map[objectName]*knownTags{}
		}
		known = &knownTags{versions: map[string]tagsAnswer{}}
		c.objects[name] = known
	}
	answer, ok := known.versions[q.VersionID]
	return answer, ok, known
}

// keep remembers an answer, unless the object has changed since it was asked for.
func (c *tagCache) keep(q tagsQuery, answer tagsAnswer, in *knownTags) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.objects[objectName{q.Bucket, q.Key}] == in {
		in.versions[q.VersionID] = answer
	}
}

// changed forgets what is known of an object.
func (c *tagCache) changed(bucket, key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.objects, objectName{bucket, key})
}

// forget forgets everything.
func (c *tagCache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.objects = nil
}
