package template

import "github.com/stowage-dev/stowage/scripts/local/assembly"

// LogGroup is a CloudWatch log group.
type LogGroup struct {
	Origin
	Name, ARN string
}

func decodeLogGroup(d *decoder, r assembly.Resource) error {
	_, err := properties[struct {
		DeletionProtectionEnabled NoLocalEffect // nothing deletes log files but RESET=1
		KmsKeyID                  NoLocalEffect // nothing is encrypted locally
		LogGroupClass             NoLocalEffect // there is one kind of file
		LogGroupName              string
		RetentionInDays           NoLocalEffect // log files start anew with each run
		Tags                      NoLocalEffect // log groups are not matched by tag
	}](r)
	if err != nil {
		return err
	}
	d.model.LogGroups = append(d.model.LogGroups, LogGroup{Origin: origin(r), Name: r.Ref, ARN: r.Attributes["Arn"]})
	return nil
}
