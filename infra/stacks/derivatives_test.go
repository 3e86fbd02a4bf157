package stacks

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stowage-dev/stowage/shared/object"
)

// TestDerivativesBeginNothing asks that what the function writes tells nobody of new
// content, and that the event of its own writing does not come back to it.
func TestDerivativesBeginNothing(t *testing.T) {
	for _, d := range eachStage(t) {
		t.Run(string(d.stage), func(t *testing.T) {
			for _, notification := range d.data.all("Custom::S3BucketNotifications") {
				queues, _ := notification.property("NotificationConfiguration.QueueConfigurations").([]any)
				for _, queue := range queues {
					if text := fmt.Sprint(queue); !strings.Contains(text, "map[Name:prefix Value:"+objectPrefix+"]") {
						t.Errorf("%s notifies of more than %s: %s", notification.path(), objectPrefix, text)
					}
				}
			}
			if object.DerivativePrefix == objectPrefix {
				t.Error("derivatives lie among content")
			}
			rule := d.service.one(t, "Service/PicturesAvailable/Default/Resource")
			rule.want(t, map[string]any{
				"EventPattern.source":                   []string{"stowage"},
				"EventPattern.detail-type":              []string{"dev.stowage.object.available", "dev.stowage.object.versioned", "dev.stowage.object.undeleted"},
				"EventPattern.detail.data.detectedType": object.PictureTypes(),
				"EventPattern.detail.data.state":        []string{"available"},
			})
		})
	}
}

// TestPicturesWaitInAQueueOfTheirOwn asks that nothing of a picture is lost on its way.
func TestPicturesWaitInAQueueOfTheirOwn(t *testing.T) {
	for _, d := range eachStage(t) {
		t.Run(string(d.stage), func(t *testing.T) {
			queue := d.service.one(t, "Service/Pictures/Default/Resource")
			dead := d.service.one(t, "Service/Pictures/DeadLetters/Resource")
			rule := d.service.one(t, "Service/PicturesAvailable/Default/Resource")
			if !refersTo(rule.property("Targets.0.Arn"), queue.id) || !refersTo(rule.property("Targets.0.DeadLetterConfig"), dead.id) {
				t.Errorf("the rule's target is %v", rule.property("Targets"))
			}
			if !refersTo(queue.property("RedrivePolicy"), dead.id) {
				t.Errorf("the queue gives up to %v", queue.property("RedrivePolicy"))
			}
			queue.want(t, map[string]any{"VisibilityTimeout": 6 * derivativesTimeout})
			d.service.one(t, "Service/PicturesMapping/Resource").want(t, map[string]any{
				"FunctionResponseTypes": []string{"ReportBatchItemFailures"}, "BatchSize": derivativesBatch,
				"ScalingConfig.MaximumConcurrency": derivativesConcurrency,
			})
		})
	}
}

// TestDerivativesMayNotTouchContent asks that the function cannot write or delete what it
// reads, nor read what the quarantine holds of others' derivatives.
func TestDerivativesMayNotTouchContent(t *testing.T) {
	for _, d := range eachStage(t) {
		t.Run(string(d.stage), func(t *testing.T) {
			policy := d.service.one(t, "Service/ImageDerivatives/Role/DefaultPolicy/Resource")
			for _, statement := range statements(policy.property("PolicyDocument")) {
				resource := fmt.Sprint(statement["Resource"])
				for _, action := range texts(statement["Action"]) {
					content := strings.Contains(resource, "/"+objectPrefix+"*")
					if content && action != "s3:GetObjectVersion" {
						t.Errorf("it may %s on content", action)
					}
					if action == "s3:GetObjectVersion" && !content {
						t.Errorf("it may %s on %s", action, resource)
					}
				}
			}
			role := d.service.one(t, "Service/ImageDerivatives/Role/Resource")
			if tags := fmt.Sprint(role.property("Tags")); !strings.Contains(tags, "stowage-quarantine") || !strings.Contains(tags, "writer") {
				t.Errorf("its role is tagged %s: the bucket would refuse what it writes", tags)
			}
		})
	}
}
