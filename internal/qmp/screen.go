package qmp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
)

// Screenshot writes what is on the machine's screen to path as PNG. What is at
// path is replaced. dir is a folder that QEMU can write to; nothing stays there.
func (c *Client) Screenshot(ctx context.Context, dir, path string) error {
	raw := filepath.Join(dir, "screen.ppm")
	defer os.Remove(raw)
	if err := c.Execute(ctx, "screendump", map[string]string{"filename": raw}, nil); err != nil {
		return err
	}
	in, err := os.Open(raw)
	if err != nil {
		return fmt.Errorf("screenshot: %w", err)
	}
	defer in.Close()
	img, err := DecodePPM(in)
	if err != nil {
		return fmt.Errorf("screenshot: %w", err)
	}
	out, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("screenshot: %w", err)
	}
	if err := errors.Join(png.Encode(out, img), out.Close()); err != nil {
		return fmt.Errorf("screenshot: %w", err)
	}
	return nil
}

// maxPixels is the largest picture that is read: more than the largest screen that
// QEMU emulates.
const maxPixels = 64 << 20

// DecodePPM reads a picture in the form that QEMU writes: binary PPM with 8 bits
// for each colour.
func DecodePPM(r io.Reader) (image.Image, error) {
	in := bufio.NewReader(r)
	magic := make([]byte, 2)
	if _, err := io.ReadFull(in, magic); err != nil || string(magic) != "P6" {
		return nil, fmt.Errorf("not a binary PPM picture")
	}
	var header [3]int
	for i := range header {
		var err error
		if header[i], err = ppmNumber(in); err != nil {
			return nil, err
		}
	}
	w, h := header[0], header[1]
	if header[2] != 255 {
		return nil, fmt.Errorf("PPM picture with %d levels of a colour, not 255", header[2])
	}
	if w == 0 || h == 0 || w > maxPixels/h {
		return nil, fmt.Errorf("PPM picture of %d x %d", w, h)
	}
	row := make([]byte, 3*w)
	rows := make([]byte, 0, 4*w)
	for y := range h {
		if _, err := io.ReadFull(in, row); err != nil {
			return nil, fmt.Errorf("PPM picture ends in row %d of %d: %w", y, h, err)
		}
		for x := 0; x < len(row); x += 3 {
			rows = append(rows, row[x], row[x+1], row[x+2], 255)
		}
	}
	return &image.RGBA{Pix: rows, Stride: 4 * w, Rect: image.Rect(0, 0, w, h)}, nil
}

// ppmNumber reads a number with the one character that ends it.
func ppmNumber(in *bufio.Reader) (int, error) {
	n, digits, comment := 0, 0, false
	for {
		b, err := in.ReadByte()
		if err != nil {
			return 0, fmt.Errorf("header of a PPM picture: %w", err)
		}
		switch {
		case comment:
			comment = b != '\n'
		case b >= '0' && b <= '9':
			if n = n*10 + int(b-'0'); n > maxPixels {
				return 0, errors.New("header of a PPM picture: number too large")
			}
			digits++
		case b == ' ' || b == '\t' || b == '\r' || b == '\n':
			if digits > 0 {
				return n, nil
			}
		case b == '#' && digits == 0:
			comment = true
		default:
			return 0, fmt.Errorf("header of a PPM picture: unexpected %q", b)
		}
	}
}
