package acceptance

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/tidegate/tidegate/deploy/local/stack"
)

// upgrades bounds how often each gateway is upgraded.
const upgrades = 10

// balanced is a second gateway of the scene beside the stack's, and a real HAProxy before both.
type balanced struct {
	s        *scene
	url      string   // of the front
	stats    string   // path of HAProxy's socket
	admins   []string // URLs of the gateways' admin listeners
	gateways map[string]*stack.Child
}

// balance starts them, with the configuration that the project ships.
func balance(t *testing.T) *balanced {
	t.Helper()
	proxy, err := exec.LookPath("haproxy")
	if err != nil {
		skip(t, "haproxy is not installed")
	}
	two, twoAdmin, front := freeAddress(t), freeAddress(t), freeAddress(t)
	flags := []string{
		"--shutdown-delay=1s", // HAProxy asks five times a second
		"--trusted-proxies=127.0.0.1",
	}
	s := newScene(t, 64, func(o *stack.Options) { o.GatewayFlags = append(o.GatewayFlags, flags...) })
	b := &balanced{s: s, url: "http://" + front + "/", admins: []string{s.stack.GatewayAdminURL(), "http://" + twoAdmin}, stats: filepath.Join(t.TempDir(), "haproxy.sock")}
	args := append([]string{
		"--listen=" + two, "--admin-listen=" + twoAdmin, "--apps=" + s.appsFile, "--journal-dir=" + filepath.Join(t.TempDir(), "journal"), "--gateway-name=two",
	}, append(s.gatewayKafka(), flags...)...)
	second := b.child("two", bin(t, "gateway"), args, "http://"+twoAdmin+"/readyz")
	b.gateways = map[string]*stack.Child{"one": s.stack.Gateway(), "two": second}
	for name, value := range map[string]string{
		"FRONT": front, "STATS": b.stats, "ONE": addressOf(t, s.stack.GatewayURL()), "TWO": two,
		"ONE_ADMIN_PORT": portOf(addressOf(t, s.stack.GatewayAdminURL())), "TWO_ADMIN_PORT": portOf(twoAdmin),
	} {
		t.Setenv("TIDEGATE_"+name, value)
	}
	b.child("haproxy", proxy, []string{"-db", "-f", "../../deploy/haproxy/haproxy.cfg"}, "")
	b.up("one", "two")
	return b
}

// child starts a process that ends with the test.
func (b *balanced) child(name, path string, args []string, ready string) *stack.Child {
	t := b.s.t
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	c := stack.NewChild(stack.ChildOptions{Name: name, Path: path, Args: args, Log: log, Ready: ready})
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Kill() // nothing that it holds is wanted any more
		if t.Failed() {
			t.Logf("the end of %s's log:\n%s", name, tail(log.Name()))
		}
		log.Close()
	})
	if ready != "" {
		if err := b.s.stack.Ready(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// up waits until HAProxy sends callbacks to these gateways.
func (b *balanced) up(names ...string) {
	b.s.t.Helper()
	b.s.eventually("HAProxy takes the gateways for ready", func() error {
		conn, err := net.Dial("unix", b.stats)
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := fmt.Fprintln(conn, "show stat"); err != nil {
			return err
		}
		states := map[string]string{}
		for lines := bufio.NewScanner(conn); lines.Scan(); {
			if row := strings.Split(lines.Text(), ","); len(row) > 17 && row[0] == "gateways" {
				states[row[1]] = row[17] // svname, status
			}
		}
		for _, name := range names {
			if states[name] != "UP" {
				return fmt.Errorf("%s is %q", name, states[name])
			}
		}
		return nil
	})
}

func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := stack.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// addressOf is the HOST:PORT of a URL.
func addressOf(t *testing.T, text string) string {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func portOf(address string) string { return address[strings.LastIndexByte(address, ':')+1:] }

// Promise: behind the balancer the source of a request is its sender, whatever that writes into
// X-Forwarded-For.
func TestSourceBehindTheBalancer(t *testing.T) {
	if runtime.GOOS != "linux" {
		skip(t, "only on Linux is all of 127.0.0.0/8 the loopback's")
	}
	b := balance(t)
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 5)}}
	client := http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+"?SdkAppid=7&CallbackCommand=Some.Command", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Forwarded-For", "203.0.113.9")
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusForbidden {
		t.Fatalf("an unknown app was answered %s", answer.Status)
	}
	sources := ""
	for _, admin := range b.admins {
		page, err := http.Get(admin + "/apps?format=json")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(page.Body)
		page.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		sources += strings.Join(regexp.MustCompile(`"source":\s*"[0-9.]+"`).FindAllString(string(text), -1), " ")
	}
	if want := `"source":"127.0.0.5"`; sources != want {
		t.Errorf("the gateways have refused %s, want %s", sources, want)
	}
}

// Promise: two gateways behind a balancer are upgraded one after the other, again and again, and no
// callback is refused or cut, and every 200 is in Kafka, in the order of its journal.
func TestProofRollingUpgrade(t *testing.T) {
	b := balance(t)
	s, perSecond := b.s, rate(t)
	load := s.load(append(steady(perSecond, alarms), "--url="+b.url)...)
	load.progress(perSecond)
	rounds := min(kills(t), upgrades)
	for range rounds {
		for name, gateway := range b.gateways {
			if err := gateway.Stop(t.Context()); err != nil {
				t.Fatalf("gateway %s: %v", name, err)
			}
			load.progress(perSecond / 2)
			if err := gateway.Start(); err != nil {
				t.Fatal(err)
			}
			if err := s.stack.Ready(t.Context(), gateway); err != nil {
				t.Fatal(err)
			}
			b.up(name)
			load.progress(perSecond / 2)
		}
	}
	entries := load.end()
	for i := range entries {
		if !entries[i].Accepted() {
			t.Errorf("refused or cut: %s", entries[i].String())
		}
	}
	s.row.Faults = 2 * rounds
	s.atMost(0)
	s.proof(fmt.Sprintf("two gateways behind HAProxy, each stopped and started %d times", rounds), entries)
	s.consumed(entries)
}
