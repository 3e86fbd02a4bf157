package client_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/stowage-dev/stowage/shared/client"
)

func Example() {
	ctx, apiURL, token, w := context.Background(), "http://127.0.0.1:8480", os.Getenv("TOKEN"), io.Discard
	file, size := open("q3.pdf")

	c, err := client.New(apiURL, client.StaticToken(token), nil)
	if err != nil {
		log.Fatal(err)
	}
	upload, err := c.Put(ctx, client.NewUpload{Path: "reports/q3.pdf", ContentType: "application/pdf"}, file, size, nil)
	if err != nil {
		log.Fatal(err)
	}
	n, err := c.Download(ctx, upload.ObjectID, w)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(upload.State, n)
}

// A large file goes in parts, eight at a time; its id is remembered before the first one.
func ExampleClient_Put() {
	ctx, token := context.Background(), os.Getenv("TOKEN")
	file, size := open("monday.tar")
	remember := func(id string) { fmt.Println(id) }
	bar := progressBar{}

	c, err := client.New("https://api.example.com", client.StaticToken(token), &client.Options{Workspace: "alpha"})
	if err != nil {
		log.Fatal(err)
	}
	upload, err := c.Put(ctx, client.NewUpload{Path: "backups/monday.tar", ContentType: "application/x-tar"}, file, size,
		&client.PutOptions{
			Workers:  8,
			Opened:   func(u client.Upload) { remember(u.ID) },
			Progress: func(p client.Progress) { bar.Set(p.Sent, p.Total) },
		})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(upload.State, upload.ObjectID)
}

// An upload that a crash broke off goes on, on this machine or another one.
func ExampleClient_Resume() {
	ctx, id := context.Background(), "01M828V71QR55BFQ2VRJZPV9WV"
	file, _ := open("monday.tar")
	c, err := client.New("https://api.example.com", client.StaticToken(os.Getenv("TOKEN")), nil)
	if err != nil {
		log.Fatal(err)
	}
	upload, err := c.Resume(ctx, id, file, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(upload.State)
}

// What is called lighthouse, if need be after a correction.
func ExampleClient_Search() {
	ctx := context.Background()
	meant := func(query string) { fmt.Println("found for", query) }

	c, err := client.New("https://api.example.com", client.StaticToken(os.Getenv("TOKEN")), nil)
	if err != nil {
		log.Fatal(err)
	}
	for hit, err := range c.Search(ctx, "lighthuose -draft", &client.SearchOptions{Folder: "reports", Corrected: meant}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(hit.Path, hit.Size)
	}
}

// What a workspace held in November, and which movements an object made.
func ExampleClient_Statement() {
	ctx, id := context.Background(), "01M828V71QR55BFQ2VRJZPV9WV"
	c, err := client.New("https://api.example.com", client.StaticToken(os.Getenv("TOKEN")), nil)
	if err != nil {
		log.Fatal(err)
	}
	statement, err := c.Statement(ctx, "2026-11", "Europe/Berlin")
	if err != nil {
		log.Fatal(err)
	}
	for _, line := range statement.Lines {
		fmt.Println(line.Class, line.Total.ByteHours, line.Amount)
	}
	for entry, err := range c.Entries(ctx, client.EntryFilter{Object: id}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(entry.At, entry.Account, entry.Bytes)
	}
}

// An adjustment is booked once, however often this runs.
func ExampleClient_Adjust() {
	ctx, from := context.Background(), time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	c, err := client.New("https://api.example.com", client.StaticToken(os.Getenv("TOKEN")), &client.Options{Workspace: "alpha"})
	if err != nil {
		log.Fatal(err)
	}
	booked, err := c.Adjust(ctx, "invoice-7", client.NewAdjustment{Class: "STANDARD", Bytes: -1 << 30, From: from, Reason: "counted twice"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(booked.ID, booked.BookedAt)
}

type progressBar struct{}

func (progressBar) Set(sent, total int64) { fmt.Printf("%d of %d bytes\n", sent, total) }

func open(name string) (*os.File, int64) {
	file, err := os.Open(name)
	if err != nil {
		log.Fatal(err)
	}
	info, err := file.Stat()
	if err != nil {
		log.Fatal(err)
	}
	return file, info.Size()
}
