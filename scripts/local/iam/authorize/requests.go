package authorize

import (
	"context"
	"maps"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/gateway"
	"github.com/stowage-dev/stowage/scripts/local/gateway/operation"
	"github.com/stowage-dev/stowage/scripts/local/iam"
)

// requests are what a call asks IAM for: its actions with their condition keys, and the actions on the
// keys that encrypt what it touches.
func (a *Authorizer) requests(ctx context.Context, c *gateway.Call) ([]iam.Request, error) {
	var requests []iam.Request
	who, global := principalOf(c.Caller), a.global(c)
	for _, action := range c.Actions {
		keys, missing, err := a.conditionKeys(ctx, c, action, maps.Clone(global))
		if err != nil {
			return nil, err
		}
		requests = append(requests, iam.Request{
			Principal: who, Action: action.Name, Resource: action.Resource, ResourceAccount: a.cfg.Account, Context: keys,
		})
		for _, dependent := range a.dependent(c, action) {
			keys := maps.Clone(global)
			for k, v := range dependent.keys {
				keys.Set(k, v...)
			}
			requests = append(requests, iam.Request{
				Principal: who, Action: dependent.action, Resource: dependent.key, ResourceAccount: a.cfg.Account, Context: keys,
			})
		}
		if missing { // whoever may not list the bucket does not learn that there is nothing
			requests = append(requests, iam.Request{
				Principal: who, Action: "s3:ListBucket", Resource: "arn:aws:s3:::" + action.Object.Bucket, ResourceAccount: a.cfg.Account, Context: maps.Clone(global),
			})
		}
	}
	return requests, nil
}

func principalOf(caller *gateway.Caller) iam.Principal {
	if caller == nil {
		return iam.Principal{}
	}
	return iam.Principal{ARN: caller.PrincipalARN, RoleARN: caller.RoleARN, UserID: caller.UserID}
}

// conditionKeys adds to those that are global all keys of one action of a call. It also says whether the
// action reads an object that is not there.
func (a *Authorizer) conditionKeys(ctx context.Context, c *gateway.Call, action operation.Action, keys iam.Context) (_ iam.Context, missing bool, err error) {
	keys.Set("aws:ResourceAccount", a.cfg.Account)
	if target := a.resourceOf(action.Resource); target != nil && action.Object == nil { // S3's tags are its objects'
		for k, v := range target.Tags {
			keys.Set("aws:ResourceTag/"+k, v)
		}
	}
	switch c.Service {
	case gateway.S3:
		missing, err = a.s3Keys(ctx, c, action, keys)
	case gateway.DynamoDB:
		a.dynamoDBKeys(c, action, keys)
	case "sts":
		stsKeys(c, keys)
	case "events":
		eventsKeys(c, action, keys)
	case "secretsmanager":
		a.secretsKeys(c, action, keys)
	case "kms":
		a.kmsKeys(c, keys)
	}
	return keys, missing, err
}

// usualKeys is how many keys most requests have, at most.
const usualKeys = 40

// global are the keys that every request has
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html).
func (a *Authorizer) global(c *gateway.Call) iam.Context {
	now := c.Received
	if now.IsZero() {
		now = a.cfg.Now()
	}
	keys := make(iam.Context, usualKeys)
	keys.Set("aws:CurrentTime", now.UTC().Format(time.RFC3339))
	keys.Set("aws:EpochTime", strconv.FormatInt(now.Unix(), 10))
	keys.Set("aws:SecureTransport", "true")
	keys.Set("aws:RequestedRegion", a.cfg.Region)
	keys.Set("aws:ViaAWSService", "false")
	keys.Set("aws:PrincipalIsAWSService", "false")
	if host, _, err := net.SplitHostPort(c.Request.RemoteAddr); err == nil {
		keys.Set("aws:SourceIp", host)
	}
	for key, header := range map[string]string{"aws:UserAgent": "User-Agent", "aws:referer": "Referer"} {
		if v := c.Request.Header.Get(header); v != "" {
			keys.Set(key, v)
		}
	}
	a.principalKeys(c.Caller, keys)
	return keys
}

func (a *Authorizer) principalKeys(caller *gateway.Caller, keys iam.Context) {
	if caller == nil {
		keys.Set("aws:PrincipalType", "Anonymous")
		return
	}
	keys.Set("aws:PrincipalAccount", a.cfg.Account)
	keys.Set("aws:userid", caller.UserID)
	switch {
	case caller.RoleARN != "":
		keys.Set("aws:PrincipalArn", caller.RoleARN)
		keys.Set("aws:PrincipalType", "AssumedRole")
		keys.Set("aws:TokenIssueTime", caller.Issued.UTC().Format(time.RFC3339))
		keys.Set("aws:MultiFactorAuthPresent", "false")
		if caller.Function != "" {
			keys.Set("lambda:SourceFunctionArn", "arn:aws:lambda:"+a.cfg.Region+":"+a.cfg.Account+":function:"+caller.Function)
		}
		if own := a.roles[caller.RoleARN]; own != nil {
			for k, v := range own.tags {
				keys.Set("aws:PrincipalTag/"+k, v)
			}
		}
		for k, v := range caller.SessionTags { // they come before the role's own
			keys.Set("aws:PrincipalTag/"+k, v)
		}
	case strings.HasSuffix(caller.PrincipalARN, ":root"):
		keys.Set("aws:PrincipalArn", caller.PrincipalARN)
		keys.Set("aws:PrincipalType", "Account")
		keys.Set("aws:userid", a.cfg.Account)
	default:
		keys.Set("aws:PrincipalArn", caller.PrincipalARN)
		keys.Set("aws:PrincipalType", "User")
		keys.Set("aws:username", caller.PrincipalARN[strings.LastIndexByte(caller.PrincipalARN, '/')+1:])
	}
}
