package template

import (
	"encoding/json"
	"strings"

	"github.com/stowage-dev/stowage/scripts/local/assembly"
)

// NetworkEndpoint is a way from a network to a service.
type NetworkEndpoint struct {
	Origin
	Service string // s3 or dynamodb
	Policy  json.RawMessage
}

// decodeEndpoint notes which services a function in a network reaches.
func decodeEndpoint(d *decoder, r assembly.Resource) error {
	p, err := properties[struct {
		PolicyDocument  document
		RouteTableIDs   NoLocalEffect // there is one network
		ServiceName     string
		Tags            NoLocalEffect
		VpcEndpointType string
		VpcID           string
	}](r)
	if err != nil {
		return err
	}
	if err := oneOf("VpcEndpointType", p.VpcEndpointType, "Gateway"); err != nil {
		return err
	}
	e := NetworkEndpoint{Origin: origin(r), Service: p.ServiceName[strings.LastIndexByte(p.ServiceName, '.')+1:], Policy: p.PolicyDocument.raw()}
	if err := oneOf("ServiceName's service", e.Service, "s3", "dynamodb"); err != nil {
		return err
	}
	d.model.NetworkEndpoints = append(d.model.NetworkEndpoints, e)
	return nil
}
