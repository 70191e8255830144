package cluster

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nkeys"
)

// server runs the nats-server of this machine with a configuration, and returns its
// port; without one the test is skipped.
func server(t *testing.T, config string) (port int) {
	t.Helper()
	path, err := exec.LookPath("nats-server")
	if err != nil {
		t.Skip("skipped: no nats-server is installed")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port = l.Addr().(*net.TCPAddr).Port
	l.Close()
	file := filepath.Join(t.TempDir(), "nats.conf")
	config = fmt.Sprintf("host: 127.0.0.1\nport: %d\n%s", port, config)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-c", file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			c.Close()
			return port
		}
		if time.Now().After(deadline) {
			t.Fatal("nats-server does not listen")
		}
	}
}

// join is Join with what all tests have in common, ended with the test.
func join(t *testing.T, o Options) (*Node, error) {
	t.Helper()
	o.Shards, o.Cluster, o.QueueMax, o.Log = 16, "t", 1<<20, slog.New(slog.DiscardHandler)
	n, err := Join(context.Background(), o)
	if err == nil {
		t.Cleanup(func() { n.finish(); n.link.close() })
	}
	return n, err
}

// certificate writes one that signs itself, with its key.
func certificate(t *testing.T, dir, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// Over TLS, each shows the other who it is; whoever is another is refused.
func TestJoinByCertificates(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t, dir, "server")
	own, ownKey := certificate(t, dir, "node")
	other, otherKey := certificate(t, dir, "other")
	port := server(t, fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true }", cert, key, own))
	urls := []string{fmt.Sprintf("tls://127.0.0.1:%d", port)}
	if n, err := join(t, Options{URLs: urls, CAFile: cert, CertFile: own, KeyFile: ownKey}); err != nil || !n.Up() {
		t.Fatalf("not let in: %v", err)
	}
	for name, o := range map[string]Options{
		"the server is not who it should be": {URLs: urls, CAFile: other, CertFile: own, KeyFile: ownKey},
		"the node is another":                {URLs: urls, CAFile: cert, CertFile: other, KeyFile: otherKey},
		"the node shows nothing":             {URLs: urls, CAFile: cert},
	} {
		if _, err := join(t, o); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestJoinByNKey(t *testing.T) {
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, _ := user.PublicKey()
	seed, _ := user.Seed()
	file := filepath.Join(t.TempDir(), "seed")
	if err := os.WriteFile(file, seed, 0o600); err != nil {
		t.Fatal(err)
	}
	port := server(t, fmt.Sprintf("authorization { users: [ { nkey: %s } ] }", public))
	urls := []string{fmt.Sprintf("nats://127.0.0.1:%d", port)}
	if _, err := join(t, Options{URLs: urls, NKeyFile: file}); err != nil {
		t.Fatal(err)
	}
	if _, err := join(t, Options{URLs: urls}); !errors.Is(err, ErrRefused) {
		t.Errorf("without a key: %v", err)
	}
	if _, err := join(t, Options{URLs: urls, NKeyFile: file + "x"}); err == nil {
		t.Error("a key file that is not there")
	}
}

// Servers that are not there at present are no reason not to start.
func TestJoinWithoutServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	n, err := join(t, Options{URLs: []string{"nats://" + l.Addr().String()}})
	if err != nil || n.Up() || n.Number() == 0 {
		t.Fatalf("%v", err)
	}
	if err := n.Tell("anything", nil); !errors.Is(err, ErrAlone) {
		t.Errorf("told whom? %v", err)
	}
}
