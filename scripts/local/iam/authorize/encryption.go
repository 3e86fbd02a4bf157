package authorize

import (
	"bytes"
	"strings"

	"github.com/stowage-dev/stowage/scripts/local/gateway"
	"github.com/stowage-dev/stowage/scripts/local/gateway/operation"
)

// dependent is an action on a key that another action takes.
type dependent struct {
	action string
	key    string // ARN
	keys   map[string][]string
}

// Actions of KMS that services ask for on behalf of a caller.
const (
	decrypt         = "kms:Decrypt"
	generateDataKey = "kms:GenerateDataKey"
)

// dependent are the actions that a caller must be allowed on the key which encrypts an action's
// resource.
func (a *Authorizer) dependent(c *gateway.Call, action operation.Action) []dependent {
	target := a.resourceOf(action.Resource)
	if target == nil || target.KeyARN == "" && c.Service != gateway.S3 {
		return nil
	}
	var (
		actions []string
		context = map[string]string{}
		key     = target.KeyARN
	)
	switch c.Service {
	case gateway.S3:
		if key, actions = a.s3Encryption(c, action, key); key != "" {
			context["aws:s3:arn"] = action.Resource
			if target.BucketKey {
				context["aws:s3:arn"] = target.ARN
			}
		}
	case "sqs":
		actions = sqsEncryption(action.Name)
	case gateway.DynamoDB, gateway.DynamoDBStreams:
		// The key of the table is itself encrypted: whoever reads or writes has it decrypted.
		if tableData(action.Name) {
			actions = []string{decrypt}
			context["aws:dynamodb:tableName"] = target.ARN[strings.LastIndexByte(target.ARN, '/')+1:]
			context["aws:dynamodb:subscriberId"] = a.cfg.Account
		}
	case "secretsmanager":
		actions = secretEncryption(action.Name)
		context["SecretARN"] = target.ARN
	}
	var list []dependent
	for _, name := range actions {
		list = append(list, dependent{action: name, key: key, keys: a.viaService(c.Service, context)})
	}
	return list
}

// viaService are the keys of a request that a service makes to KMS for its caller.
func (a *Authorizer) viaService(service string, context map[string]string) map[string][]string {
	if service == gateway.DynamoDBStreams {
		service = gateway.DynamoDB
	}
	keys := map[string][]string{
		"kms:ViaService":          {service + "." + a.cfg.Region + ".amazonaws.com"},
		"kms:CallerAccount":       {a.cfg.Account},
		"kms:EncryptionAlgorithm": {"SYMMETRIC_DEFAULT"},
		"aws:ViaAWSService":       {"true"},
		"aws:CalledVia":           {service + ".amazonaws.com"},
		"aws:CalledViaFirst":      {service + ".amazonaws.com"},
		"aws:CalledViaLast":       {service + ".amazonaws.com"},
	}
	for k, v := range context {
		keys["kms:EncryptionContext:"+k] = []string{v}
		keys["kms:EncryptionContextKeys"] = append(keys["kms:EncryptionContextKeys"], k)
	}
	return keys
}

// s3Encryption gives the key of an S3 action and what is done with it. A request may name another key, or
// none of KMS. The permissions are those that the pages of the operations ask for: of a multipart upload,
// GenerateDataKey to create it and Decrypt for each part; Decrypt to have a checksum told or checked.
func (a *Authorizer) s3Encryption(c *gateway.Call, action operation.Action, key string) (string, []string) {
	request := parametersOf(c.Request)
	switch strings.TrimPrefix(action.Name, "s3:") {
	case "GetObject", "GetObjectVersion":
		if c.Name == "HeadObject" && !strings.EqualFold(request.get("x-amz-checksum-mode"), "ENABLED") {
			return "", nil
		}
		if c.Name == "GetObjectAttributes" && !strings.Contains(c.Request.Header.Get("X-Amz-Object-Attributes"), "Checksum") {
			return "", nil
		}
		return keyOrNone(key, decrypt)
	case "PutObject":
	default:
		return "", nil
	}
	switch c.Name {
	case "UploadPart", "UploadPartCopy":
		return keyOrNone(key, decrypt)
	case "CompleteMultipartUpload":
		if !bytes.Contains(c.Body, []byte("<Checksum")) && !hasChecksum(c) {
			return "", nil
		}
		return keyOrNone(key, decrypt)
	}
	switch request.get("x-amz-server-side-encryption") {
	case "AES256":
		return "", nil
	case "aws:kms", "aws:kms:dsse":
		if named := request.get("x-amz-server-side-encryption-aws-kms-key-id"); named != "" {
			key = a.keyARN(named)
		}
	}
	return keyOrNone(key, generateDataKey)
}

// keyARN is the ARN of a key that is named by its id or by its ARN.
func (a *Authorizer) keyARN(named string) string {
	if strings.HasPrefix(named, "arn:") {
		return named
	}
	return "arn:aws:kms:" + a.cfg.Region + ":" + a.cfg.Account + ":key/" + named
}

func keyOrNone(key, action string) (string, []string) {
	if key == "" {
		return "", nil
	}
	return key, []string{action}
}

func hasChecksum(c *gateway.Call) bool {
	for name := range c.Request.Header {
		if strings.HasPrefix(name, "X-Amz-Checksum-") {
			return true
		}
	}
	return false
}

func sqsEncryption(action string) []string {
	switch action {
	case "sqs:SendMessage":
		return []string{generateDataKey, decrypt}
	case "sqs:ReceiveMessage":
		return []string{decrypt}
	}
	return nil
}

// tableData says whether an action touches a table's items or its stream's records.
func tableData(action string) bool {
	switch strings.TrimPrefix(action, "dynamodb:") {
	case "BatchGetItem", "BatchWriteItem", "ConditionCheckItem", "DeleteItem", "GetItem", "PutItem", "Query", "Scan", "UpdateItem", "GetRecords":
		return true
	}
	return false
}

func secretEncryption(action string) []string {
	switch strings.TrimPrefix(action, "secretsmanager:") {
	case "GetSecretValue":
		return []string{decrypt}
	case "PutSecretValue", "CreateSecret":
		return []string{generateDataKey, decrypt}
	}
	return nil
}
