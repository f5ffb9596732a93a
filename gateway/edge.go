package main

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/tidegate/tidegate/gateway/internal/edge"
	"github.com/tidegate/tidegate/internal/process"
	"github.com/tidegate/tidegate/internal/reload"
)

// edgeFlags say who may connect to --listen, and how.
type edgeFlags struct {
	TLSCert     string `name:"tls-cert" placeholder:"FILE" help:"PEM file with the certificate of --listen, then those up to its root. Read again when it or --tls-key changes. TLS 1.2 and 1.3 with Go's own cipher suites. Without it --listen takes plain HTTP, for behind a proxy that has the certificate."`
	TLSKey      string `name:"tls-key" placeholder:"FILE" help:"PEM file with the key of --tls-cert, without a passphrase, mode 0600."`
	TLSClientCA string `name:"tls-client-ca" placeholder:"FILE" help:"PEM file with the authorities of front ends: whoever has no certificate of one of them is not let in. The vendor has none. Read again when it changes."`

	ProxyProtocolFrom edge.Networks `name:"proxy-protocol-from" placeholder:"CIDR[,CIDR]" help:"Networks of TCP load balancers. Their connections must begin with a PROXY header (version 1 or 2), before TLS; nobody else's may."`
	TrustedProxies    edge.Networks `name:"trusted-proxies" placeholder:"CIDR[,CIDR]" help:"Networks of HTTP proxies whose X-Forwarded-For is believed: a request's source is the last address there that is none of theirs. The source is what --allow-sources and /apps speak of."`
	AllowSources      string        `name:"allow-sources" placeholder:"FILE" help:"YAML file with the networks that may send callbacks, sources: [\"203.0.113.0/24\"]; others are answered 403. Read again when it changes. Without it everybody may."`
}

// wrong returns what is wrong with the flags together.
func (e *edgeFlags) wrong() (errs []error) {
	if (e.TLSCert == "") != (e.TLSKey == "") {
		errs = append(errs, errors.New("--tls-cert, --tls-key: want both or none"))
	}
	if e.TLSClientCA != "" && e.TLSCert == "" {
		errs = append(errs, errors.New("--tls-client-ca: there is no TLS without --tls-cert and --tls-key"))
	}
	return errs
}

// edgeFiles are the files of edgeFlags; nil where there is none.
type edgeFiles struct {
	certificate *reload.File[*edge.Certificate]
	clientCA    *reload.File[*edge.ClientCA]
	sources     *reload.File[edge.Networks]
}

// openEdgeFiles reads the files of the edge and keeps them fresh.
func (g *gateway) openEdgeFiles() error {
	e, files := &g.set.Edge, &g.edge
	return errors.Join(
		openFile(g, &files.certificate, "certificate", e.TLSCert, edge.ParseCertificate(e.TLSKey)),
		openFile(g, &files.clientCA, "client_ca", e.TLSClientCA, edge.ParseClientCA),
		openFile(g, &files.sources, "sources", e.AllowSources, edge.ParseSources),
	)
}

// openFile reads the file at path and keeps it fresh, and does nothing where path is empty.
func openFile[T any](g *gateway, file **reload.File[T], name, path string, parse reload.Parse[T]) (err error) {
	if path == "" {
		return nil
	}
	if *file, err = reload.Open(name, path, parse, reload.Options{Log: g.log, Metrics: g.reg}); err != nil {
		return err
	}
	opened := *file
	g.p.Go(name+" file", opened.Run)
	g.p.OnHangup(func() { _, _ = opened.Reload() }) // says itself what is wrong
	return nil
}

// listen binds --listen.
func (g *gateway) listen() (net.Listener, error) {
	ln, err := net.Listen("tcp", g.set.Listen)
	if err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	return edge.NewListener(ln, edge.Options{
		Certificate: g.edge.certificate, ClientCA: g.edge.clientCA, ProxyFrom: g.set.Edge.ProxyProtocolFrom, Metrics: g.reg,
	}), nil
}

// addEdgeChecks shows the files of the edge. None is required: a certificate that has expired is
// better than none, and the gateway's work goes on with the files that it has.
func (g *gateway) addEdgeChecks() {
	if file := g.edge.certificate; file != nil {
		g.ready.Add("file certificate", false, func() (bool, string) { return certificateDetail(file) })
	}
	if file := g.edge.clientCA; file != nil {
		addFileCheck(g.ready, file.Status)
	}
	if file := g.edge.sources; file != nil {
		g.ready.Add("file sources", false, func() (bool, string) {
			return process.FileDetail(file.Status(), fmt.Sprintf("%d networks", file.Get().Len()))
		})
	}
}

// certificateDetail says which certificate is in use, and is not ok where the one on disk is not, or
// where clients refuse it or soon will.
func certificateDetail(file *reload.File[*edge.Certificate]) (ok bool, detail string) {
	c := file.Get()
	ok, detail = process.FileDetail(file.Status(), c.String())
	warnings := c.Warnings(time.Now())
	if len(warnings) == 0 {
		return ok, detail
	}
	return false, detail + "; it " + strings.Join(warnings, "; it ")
}

// logEdge says who can connect, and what is wrong with a certificate that is in use, now and
// with each that comes.
func (g *gateway) logEdge() {
	e, files := &g.set.Edge, &g.edge
	g.log.Info("edge", zap.Bool("tls", files.certificate != nil), zap.Bool("client_certificates", files.clientCA != nil),
		zap.Int("proxy_protocol_from", e.ProxyProtocolFrom.Len()), zap.Int("trusted_proxies", e.TrustedProxies.Len()),
		zap.String("allow_sources", pathOrNone(e.AllowSources)))
	if files.certificate != nil {
		warn := func(c *edge.Certificate) {
			for _, warning := range c.Warnings(time.Now()) {
				g.log.Warn("certificate in use", zap.String("warning", warning), zap.Time("not_after", c.NotAfter()))
			}
		}
		warn(files.certificate.Get())
		files.certificate.OnChange(warn)
	}
	if files.clientCA != nil {
		warn := func(ca *edge.ClientCA) {
			for _, warning := range ca.Warnings(time.Now()) {
				g.log.Warn("client CA in use", zap.String("warning", warning))
			}
		}
		warn(files.clientCA.Get())
		files.clientCA.OnChange(warn)
	}
}

// checkEdge looks at what needs no secret: whether there is TLS, and who may send.
func checkEdge(f *process.Findings, e *edgeFlags) {
	if e.TLSCert == "" {
		f.Note("--tls-cert: not given, so --listen takes plain HTTP: a proxy that has the certificate must stand before it")
	}
	if path := e.AllowSources; path != "" {
		if sources, ok := checkFile(f, "sources", path, edge.ParseSources); ok {
			f.OK("%s: %d networks may send", path, sources.Len())
		}
	}
}

// checkEdgeFiles reads the files of the edge as a start does.
func checkEdgeFiles(f *process.Findings, e *edgeFlags) {
	if e.TLSCert != "" && e.TLSKey != "" {
		checkCertificate(f, e)
	}
	if e.TLSClientCA != "" {
		if ca, ok := checkFile(f, "client_ca", e.TLSClientCA, edge.ParseClientCA); ok {
			for _, warning := range ca.Warnings(time.Now()) {
				f.Warn("%s: %s", e.TLSClientCA, warning)
			}
			f.OK("%s: %d authorities of clients", e.TLSClientCA, ca.Len())
		}
	}
}

func checkCertificate(f *process.Findings, e *edgeFlags) {
	c, ok := checkFile(f, "certificate", e.TLSCert, edge.ParseCertificate(e.TLSKey))
	if !ok {
		return
	}
	for _, warning := range c.Warnings(time.Now()) {
		f.Warn("%s: the certificate %s", e.TLSCert, warning)
	}
	if warning := c.KeyWarning(); warning != "" {
		f.Warn("%s: %s", e.TLSKey, warning)
	}
	f.OK("%s: %v", e.TLSCert, c)
}
