package kafkaconn

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// cluster starts a broker in memory.
func cluster(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// connect opens a connection.
func connect(t *testing.T, c *kfake.Cluster, f Flags) *Conn {
	t.Helper()
	f.Brokers = c.ListenAddrs()
	conn, err := Open(f, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// soon returns a context for one question.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestTopics(t *testing.T) {
	c := cluster(t)
	if err := c.CreateTopic("a", 3, map[string]string{"max.message.bytes": "4321", "retention.ms": "86400000", "min.insync.replicas": "2"}); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateTopic("for-ever", 1, map[string]string{"retention.ms": "-1"}); err != nil {
		t.Fatal(err)
	}
	got, err := connect(t, c, Flags{}).Topics(soon(t), "missing", "a", "for-ever")
	if err != nil {
		t.Fatal(err)
	}
	if got[0].Name != "missing" || got[0].Err == nil || got[0].Partitions != 0 {
		t.Errorf("missing topic: %+v", got[0])
	}
	a := got[1]
	if a.Err != nil || a.ConfigErr != nil || a.Partitions != 3 || a.Replication < 1 || a.MaxMessageBytes != 4321 || a.Retention != 24*time.Hour || a.MinISR != 2 {
		t.Errorf("topic a: %+v", a)
	}
	if got[2].Retention >= 0 {
		t.Errorf("retention of for-ever: %v", got[2].Retention)
	}
}

// Settings that may not be read leave the layout readable.
func TestTopicsWithoutSettings(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(2, "a"))
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeConfigs}, Err: kerr.TopicAuthorizationFailed, Count: -1})
	got, err := connect(t, c, Flags{}).Topics(soon(t), "a")
	if err != nil || got[0].Err != nil || got[0].ConfigErr == nil || got[0].Partitions != 2 {
		t.Errorf("%+v, %v", got, err)
	}
}

// A topic that is asked about later is there too, and one that is made later is found.
func TestWatchGrows(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(2, "a", "b"))
	conn := connect(t, c, Flags{})
	for _, topic := range []string{"a", "b", "a"} {
		if got, err := conn.Topics(soon(t), topic); err != nil || got[0].Partitions != 2 {
			t.Fatalf("topic %s: %+v, %v", topic, got, err)
		}
	}
	if got, err := conn.Topics(soon(t), "later"); err != nil || got[0].Err == nil {
		t.Fatalf("a topic that is not there: %+v, %v", got, err)
	}
	if err := c.CreateTopic("later", 5, nil); err != nil {
		t.Fatal(err)
	}
	for ctx := soon(t); ; {
		got, err := conn.Topics(ctx, "later")
		if err != nil {
			t.Fatalf("ask for the new topic: %v", err)
		}
		if got[0].Partitions == 5 {
			return
		}
	}
}

// Topics are made through the same client, and seen when the call returns.
func TestCreateTopics(t *testing.T) {
	c := cluster(t)
	conn := connect(t, c, Flags{})
	start := time.Now()
	res, err := conn.Client().CreateTopics(soon(t), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: "new", NumPartitions: 2, ReplicationFactor: 1}}})
	if err != nil || res.Errors["new"] != nil {
		t.Fatalf("create: %v, %v", err, res)
	}
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("creating a topic took %v", took)
	}
	if got, err := conn.Topics(soon(t), "new"); err != nil || got[0].Partitions != 2 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestInitProducerID(t *testing.T) {
	c := cluster(t)
	conn := connect(t, c, Flags{})
	first, epoch, err := conn.InitProducerID(soon(t))
	if err != nil || first < 0 || epoch < 0 {
		t.Fatalf("%d, %d, %v", first, epoch, err)
	}
	if second, _, err := conn.InitProducerID(soon(t)); err != nil || second == first {
		t.Errorf("the second id is %d after %d, %v", second, first, err)
	}
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, TopLevel: true, Err: kerr.CoordinatorNotAvailable})
	if _, _, err := conn.InitProducerID(soon(t)); err == nil {
		t.Error("no error while the coordinator is away")
	}
}

func TestNobodyThere(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	conn, err := Open(Flags{Brokers: []string{addr}}, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Topics(soon(t), "a"); err == nil {
		t.Error("topics from nobody")
	}
}

// authority makes certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{cert: &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}}
	a.pem, _ = a.issue(t, a.cert)
	return a
}

// issue signs a certificate and returns it with its key, both as PEM. The authority's own
// comes first.
func (a *authority) issue(t *testing.T, template *x509.Certificate) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: "test"}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	signer := a.key
	if signer == nil {
		a.key, signer = k, k
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &k.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	if template == a.cert {
		if a.cert, err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
	}
	keyDER, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	return block("CERTIFICATE", der), block("EC PRIVATE KEY", keyDER)
}

// secured starts a broker that speaks TLS and wants client certificates where clients is set.
func secured(t *testing.T, clients bool, opts ...kfake.Opt) (c *kfake.Cluster, a *authority) {
	t.Helper()
	a = newAuthority(t)
	cert, key := a.issue(t, &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}}
	if clients {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		config.ClientCAs.AddCert(a.cert)
	}
	return cluster(t, append(opts, kfake.TLS(config), kfake.SeedTopics(1, "a"))...), a
}

// TLS and SASL hold for client and dialer alike.
func TestTLSAndSASL(t *testing.T) {
	for _, mechanism := range []string{"plain", "scram-sha-256", "scram-sha-512"} {
		t.Run(mechanism, func(t *testing.T) {
			c, a := secured(t, true, kfake.EnableSASL(), kfake.Superuser(strings.ToUpper(mechanism), "user", secret))
			cert, key := a.issue(t, &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
			f := Flags{
				TLS: true, TLSCA: file(t, "ca", a.pem), TLSCert: file(t, "cert", cert), TLSKey: file(t, "key", key),
				SASL: mechanism, SASLUser: "user", SASLPasswordFile: file(t, "password", secret+"\n"),
			}
			if err := reach(t, c, f); err != nil {
				t.Errorf("with all that is right: %v", err)
			}
			for name, change := range map[string]func(*Flags){
				"wrong password":  func(f *Flags) { f.SASLPasswordFile = file(t, "wrong", secret+secret) },
				"no certificate":  func(f *Flags) { f.TLSCert, f.TLSKey = "", "" },
				"other authority": func(f *Flags) { f.TLSCA = file(t, "other", newAuthority(t).pem) },
			} {
				wrong := f
				change(&wrong)
				err := reach(t, c, wrong)
				if err == nil || strings.Contains(err.Error(), secret) {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

// reach asks a question by the client and another by the dialer.
func reach(t *testing.T, c *kfake.Cluster, f Flags) error {
	t.Helper()
	conn := connect(t, c, f)
	if _, err := conn.Topics(soon(t), "a"); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	k, err := conn.Dialer().DialContext(soon(t), "tcp", conn.Brokers()[0])
	if err != nil {
		return fmt.Errorf("dialer: %w", err)
	}
	defer k.Close()
	if _, err := k.ReadPartitions("a"); err != nil {
		return fmt.Errorf("dialer: %w", err)
	}
	return nil
}

// SASL in clear works where it is permitted.
func TestSASLInClearWhenPermitted(t *testing.T) {
	c := cluster(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "user", secret), kfake.SeedTopics(1, "a"))
	err := reach(t, c, Flags{SASL: "plain", SASLUser: "user", SASLPasswordFile: file(t, "password", secret), SASLPlaintext: true})
	if err != nil {
		t.Error(err)
	}
}

// answers are what a cluster says to InitProducerID, the last one for ever.
type answers struct {
	errs  []error
	asked int
}

func (a *answers) InitProducerID(context.Context) (int64, int16, error) {
	err := a.errs[min(a.asked, len(a.errs)-1)]
	a.asked++
	return 0, 0, err
}

// TestAskProducerID: what passes is asked again, what stays is the answer.
func TestAskProducerID(t *testing.T) {
	young, never := fmt.Errorf("init: %w", kafka.GroupLoadInProgress), fmt.Errorf("init: %w", kafka.ClusterAuthorizationFailed)
	for name, row := range map[string]struct {
		errs  []error
		want  error
		asked int // 0: until the time is over
	}{
		"at once":        {[]error{nil}, nil, 1},
		"a young one":    {[]error{young, young, nil}, nil, 3},
		"no right to it": {[]error{young, never, nil}, never, 2},
		"young for ever": {[]error{young}, young, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				a := &answers{errs: row.errs}
				err := AskProducerID(ctx, a)
				if !errors.Is(err, row.want) || row.asked > 0 && a.asked != row.asked || (ctx.Err() != nil) != (row.asked == 0) {
					t.Errorf("error %v after %d questions, the time over: %v", err, a.asked, ctx.Err())
				}
			})
		})
	}
}
