package stacks

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"

	"github.com/stowage-dev/stowage/infra/patterns"
)

// completionTimeout is the time-out of upload-completer. S3 can take minutes to make one
// object of ten thousand parts, and the API gives up waiting after seconds.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
const completionTimeout = 300

// addCompletion makes the queue of multipart uploads that were completed and the function
// that finishes those which take long. It waits for S3 most of the time: 512 MB holds the
// lists of parts of a whole batch.
//
// The function works with a role of its own and not as the signer: it signs nothing, and it
// may see, which the signer may not, what is stored at a key.
func (s *Service) addCompletion() {
	s.completions = patterns.NewIngestQueue(s.Stack, jsii.String("Completions"), &patterns.IngestQueueProps{
		ConsumerTimeout: awscdk.Duration_Seconds(jsii.Number(completionTimeout)),
		RemovalPolicy:   s.settings.Stage.RemovalPolicy(),
	})
	s.Completer = s.addFunction("UploadCompleter", fnCompleter, functionProps{
		description: "Stowage: finishes multipart uploads that take long",
		memoryMB:    512,
		timeout:     completionTimeout,
		environment: map[string]*string{
			"STOWAGE_TABLE":              s.data.Catalog.Table().TableName(),
			"STOWAGE_BUCKET":             s.data.Content.Bucket().BucketName(),
			"STOWAGE_DEAD_LETTER_BUCKET": s.data.DeadLetters.Bucket().BucketName(),
		},
	})
	role := s.Completer.Role()
	s.data.Content.GrantFinishUploads(role, objectPrefix)
	s.data.Catalog.Grant(role, "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem")
	s.data.DeadLetters.GrantWrite(role)
	patterns.NewQueueFunction(s.Stack, jsii.String("CompletionMapping"), &patterns.QueueFunctionProps{
		Function:       s.Completer,
		MaxConcurrency: jsii.Number(s.settings.IngestConcurrency),
		Queue:          s.completions,
	})
	s.completions.GrantSend(s.UploadAPI.Role())
	s.UploadAPI.SetEnvironment("STOWAGE_COMPLETION_QUEUE_URL", s.completions.Queue().QueueUrl())
	output(s.Stack, "CompletionDeadLetterQueue", "Queue of the completions that were given up", s.completions.DeadLetters().QueueUrl())
}

// addCompletionAlarms watches for uploads that nobody finishes.
func (s *Service) addCompletionAlarms() {
	s.watch("CompletionDeadLetters", "Multipart uploads were given up before they were finished: read the message in the dead-letter queue and redrive it",
		s.completions.MetricDeadLetters(), 1)
}
