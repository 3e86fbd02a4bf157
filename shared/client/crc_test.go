package client

import (
	"testing"

	"github.com/minio/crc64nvme"
	"pgregory.net/rapid"
)

func sum(b []byte) uint64 {
	h := crc64nvme.New()
	_, _ = h.Write(b)
	return h.Sum64()
}

// The check value of the CRC catalogue.
func TestTheChecksumIsNVME(t *testing.T) {
	t.Parallel()
	if got := sum([]byte("123456789")); got != 0xae8b14860a799888 {
		t.Errorf("checksum of 123456789 = %#x, want 0xae8b14860a799888", got)
	}
	if got := base64CRC(0xae8b14860a799888); got != "rosUhgp5mIg=" {
		t.Errorf("in base64 %s, want rosUhgp5mIg=", got)
	}
}

func TestPartsCombineToTheChecksumOfTheWhole(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 300), 1, 8).Draw(t, "parts")
		whole := append([]byte(nil), parts[0]...)
		combined := sum(parts[0])
		for _, part := range parts[1:] {
			whole = append(whole, part...)
			combined = zeroBytes(int64(len(part))).times(combined) ^ sum(part)
		}
		if want := sum(whole); combined != want {
			t.Fatalf("combined %#x, want %#x", combined, want)
		}
	})
}
