package client_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/stowage-dev/stowage/shared/client"
)

func Example() {
	ctx := context.Background()
	c, err := client.New("https://api.example.com", client.StaticToken(os.Getenv("TOKEN")), &client.Options{Workspace: "alpha"})
	if err != nil {
		log.Fatal(err)
	}
	file, err := os.Open("report.pdf")
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		log.Fatal(err)
	}
	upload, err := c.Put(ctx, client.NewUpload{Path: "reports/2026/report.pdf", ContentType: "application/pdf"}, file, info.Size(), nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(upload.State, upload.ObjectID)
}
