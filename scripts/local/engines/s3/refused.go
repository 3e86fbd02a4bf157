package s3

import (
	"io"

	"github.com/gofiber/fiber/v3"
)

// readRefused reads what a refused request still sends before it is answered. The server itself gives up
// after 256 KB and closes the connection, and whoever is still sending then learns that it broke, not that
// storage refused the object: a client that sends a whole body before it looks for an answer, as browsers
// do, could not tell an object that is there (412) from a fault that it should retry.
func readRefused(c fiber.Ctx) error {
	err := c.Next()
	// A chunked body that has been read must not be read again: it would wait for another chunk.
	if body := c.Request().BodyStream(); body != nil && c.Request().Header.ContentLength() > 0 {
		_, _ = io.Copy(io.Discard, body) // the answer stands, whether or not the rest comes
	}
	return err //nolint:wrapcheck // the engine turns errors of this type into answers
}
