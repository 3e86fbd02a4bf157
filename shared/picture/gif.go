package picture

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/draw"
	"image/gif"
)

// readGIF reads the logical screen, on which frames are drawn. GIF89a, 18.
func readGIF(data []byte) (*header, error) {
	if len(data) < 13 {
		return nil, broken("the GIF is cut short")
	}
	h := &header{format: "GIF", width: int(binary.LittleEndian.Uint16(data[6:])), height: int(binary.LittleEndian.Uint16(data[8:]))}
	// The first frame in indexes of its palette, and the screen that it is drawn on.
	h.memory = int64(h.width) * int64(h.height) * (1 + 4)
	screen := image.Rect(0, 0, h.width, h.height)
	h.decode = func(int) (image.Image, int, error) {
		first, err := gif.Decode(bytes.NewReader(data))
		if err != nil {
			return nil, 0, fmt.Errorf("decode GIF: %w", err)
		}
		return onCanvas(first, first.Bounds().Min, screen), whole, nil
	}
	return h, nil
}

// onCanvas draws the frame of an animation where it belongs, on nothing.
func onCanvas(frame image.Image, at image.Point, canvas image.Rectangle) image.Image {
	if frame.Bounds().Sub(frame.Bounds().Min).Add(at) == canvas {
		return frame
	}
	whole := image.NewRGBA(canvas)
	draw.Draw(whole, frame.Bounds().Sub(frame.Bounds().Min).Add(at), frame, frame.Bounds().Min, draw.Src)
	return whole
}
