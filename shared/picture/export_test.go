package picture

import "image"

// Profile shows the tests what profile a picture carries.
func Profile(data []byte) ([]byte, error) {
	h, err := readHeader(data)
	if err != nil {
		return nil, err
	}
	return h.profile, nil
}

// Memory is what the limit is held against.
func Memory(data []byte) int64 {
	h, err := readHeader(data)
	if err != nil {
		return 0
	}
	return h.memory
}

// DecodeWhole decodes a picture at full size.
func DecodeWhole(data []byte) error {
	h, err := readHeader(data)
	if err != nil {
		return err
	}
	_, _, err = h.decode(whole)
	return err
}

// CopyWith copies a picture whose decoder does something first.
func CopyWith(do func()) error {
	h := &header{width: 8, height: 8, decode: func(int) (image.Image, int, error) {
		do()
		return image.NewGray(image.Rect(0, 0, 8, 8)), whole, nil
	}}
	_, err := h.copies([]int{8})
	return err
}
