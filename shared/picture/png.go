package picture

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/png"
)

// readPNG reads all chunks but the pixels: EXIF may come after them.
// PNG (3rd edition), 5 and 11.
func readPNG(data []byte) (*header, error) {
	h := &header{format: "PNG"}
	rest := data[8:]
	for first := true; ; first = false {
		kind, body, after, ok := nextChunk(rest)
		if !ok && h.decode == nil {
			return nil, broken("the PNG is cut short")
		}
		rest = after
		switch {
		case !ok, kind == "IEND" && h.decode != nil:
			return h, nil // if pixels are missing, the decoder says so
		case first && (kind != "IHDR" || len(body) != 13):
			return nil, broken("the PNG does not begin with its header")
		case kind == "IHDR":
			h.width, h.height = int(binary.BigEndian.Uint32(body)), int(binary.BigEndian.Uint32(body[4:]))
			h.memory = pngMemory(int64(h.width)*int64(h.height), body[8], body[9], body[12] != 0)
		case kind == "iCCP":
			if i := bytes.IndexByte(body, 0); i >= 0 && i+2 <= len(body) {
				h.profile = inflateProfile(body[i+2:])
			}
		case kind == "eXIf":
			h.meta = readEXIF(body)
		case kind == "IDAT":
			h.decode = func(int) (image.Image, int, error) {
				img, err := png.Decode(bytes.NewReader(data))
				if err != nil {
					return nil, 0, fmt.Errorf("decode PNG: %w", err)
				}
				return img, whole, nil
			}
		}
	}
}

func nextChunk(data []byte) (kind string, body, rest []byte, ok bool) {
	if len(data) < 8 {
		return "", nil, nil, false
	}
	size := int64(binary.BigEndian.Uint32(data))
	kind = string(data[4:8])
	if 8+size+4 > int64(len(data)) {
		if kind == "IDAT" {
			return kind, nil, nil, true // cut short
		}
		return "", nil, nil, false
	}
	return kind, data[8 : 8+size], data[8+size+4:], true
}

// pngMemory is what image/png allocates: it keeps grey and palettes as they are and
// makes 4 or 8 bytes of every other pixel; an interlaced picture is held twice.
func pngMemory(pixels int64, depth, color byte, interlaced bool) int64 {
	const grey, palette = 0, 3
	each := int64(4)
	if color == grey || color == palette {
		each = 1
	}
	if depth == 16 {
		each *= 2
	}
	if interlaced {
		each *= 2
	}
	return pixels * each
}
