package main

import (
	"encoding/json"
	"net/url"
	"slices"
)

// about finds what a payload is about, whatever it is: an S3 notification, a message of
// a queue, an event of the bus, a record of a table's stream, or several of them.
func about(payload []byte) []string {
	var found []string
	collect(payload, &found, maxDepth)
	slices.Sort(found)
	return slices.Compact(found)
}

// maxDepth is how deep messages can lie in each other: a record in a notification in a
// message in a batch.
const maxDepth = 6

// parcel is the union of what can be in a payload.
type parcel struct {
	Records []json.RawMessage `json:"Records"`
	Body    *string           `json:"body"`
	S3      *struct {
		Object struct {
			Key string `json:"key"`
		} `json:"object"`
	} `json:"s3"`
	Detail *struct {
		Subject string `json:"subject"`
		Data    struct {
			Path    string `json:"path"`
			Version string `json:"version"`
		} `json:"data"`
	} `json:"detail"`
	DynamoDB *struct {
		Keys map[string]map[string]any `json:"Keys"`
	} `json:"dynamodb"`
	Upload string `json:"upload"`
}

func collect(payload []byte, found *[]string, depth int) {
	var p parcel
	if depth == 0 || json.Unmarshal(payload, &p) != nil {
		return
	}
	add := func(text string) {
		if text != "" {
			*found = append(*found, text)
		}
	}
	for _, r := range p.Records {
		collect(r, found, depth-1)
	}
	if p.Body != nil {
		collect([]byte(*p.Body), found, depth-1)
	}
	if p.S3 != nil {
		key, err := url.QueryUnescape(p.S3.Object.Key)
		if err != nil {
			key = p.S3.Object.Key
		}
		add(key)
	}
	if p.Detail != nil {
		add(p.Detail.Subject)
		add(p.Detail.Data.Path)
		add(p.Detail.Data.Version)
	}
	if p.DynamoDB != nil {
		for _, value := range p.DynamoDB.Keys {
			for _, v := range value {
				if text, ok := v.(string); ok {
					add(text)
				}
			}
		}
	}
	add(p.Upload)
}
