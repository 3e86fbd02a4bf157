package jpegscale_test

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"

	"github.com/stowage-dev/stowage/shared/jpegscale"
)

func ExampleDecode() {
	var photo bytes.Buffer
	if err := jpeg.Encode(&photo, image.NewGray(image.Rect(0, 0, 4000, 3000)), nil); err != nil {
		fmt.Println(err)
		return
	}
	small, err := jpegscale.Decode(photo.Bytes(), 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(small.Bounds().Size())
	// Output: (500,375)
}
