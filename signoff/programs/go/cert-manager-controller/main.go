// cert-manager's controller, assembled from its module: cmd/controller is a module of its own that no proxy serves.
//
// It has what an ACME or CA issuer needs: issuers, certificates, requests and their approval, orders and challenges, and
// certificates for annotated Ingresses and Gateways. It lacks leader election, metrics, health checks and the webhook.
package main

import (
	"context"
	"flag"
	"os"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/klog/v2"

	"github.com/cert-manager/cert-manager/pkg/controller"
	_ "github.com/cert-manager/cert-manager/pkg/controller/acmechallenges"
	_ "github.com/cert-manager/cert-manager/pkg/controller/acmeorders"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificate-shim/gateways"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificate-shim/ingresses"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/acme"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/approver"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/ca"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/selfsigned"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/issuing"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/keymanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/readiness"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/requestmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/revisionmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/trigger"
	_ "github.com/cert-manager/cert-manager/pkg/controller/clusterissuers"
	_ "github.com/cert-manager/cert-manager/pkg/controller/issuers"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/acme"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/ca"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/selfsigned"
	logf "github.com/cert-manager/cert-manager/pkg/logs"
)

const (
	workers = 5
	// ofGateways watches kinds that a cluster need not have.
	ofGateways = "gateway-shim"
)

func main() {
	namespace := flag.String("cluster-resource-namespace", "cert-manager", "where a ClusterIssuer's Secrets are")
	image := flag.String("acme-http01-solver-image", "", "the image that answers HTTP-01 challenges")
	gateways := flag.Bool("enable-gateway-api", false, "serve Gateways too, whose kinds the cluster must have")
	nameserver := flag.String("acme-http01-solver-nameservers", "", "HOST:PORT, asked before a challenge; empty: the pod's own")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	given := options(*namespace, *image, *nameserver)
	given.EnableGatewayAPI = *gateways
	factory, err := controller.NewContextFactory(logf.NewContext(ctx, klog.Background()), given)
	exitOn(err)
	for name, construct := range controller.Known() {
		if name == ofGateways && !*gateways {
			continue
		}
		control, err := construct(factory)
		exitOn(err)
		go func() {
			if err := control.Run(workers, ctx); err != nil {
				klog.ErrorS(err, "controller ended", "controller", name)
			}
			stop()
		}()
	}
	shared, err := factory.Build()
	exitOn(err)
	shared.SharedInformerFactory.Start(ctx.Done())
	shared.KubeSharedInformerFactory.Start(ctx.Done())
	shared.HTTP01ResourceMetadataInformersFactory.Start(ctx.Done())
	if *gateways {
		shared.GWShared.Start(ctx.Done())
	}
	<-ctx.Done()
}

// options has the defaults of cert-manager's own command, and the cluster of KUBECONFIG, or that of this pod.
func options(namespace, image, nameserver string) controller.ContextOptions {
	given := controller.ContextOptions{
		Kubeconfig:         os.Getenv("KUBECONFIG"),
		KubernetesAPIQPS:   20,
		KubernetesAPIBurst: 50,
		IssuerOptions:      controller.IssuerOptions{ClusterResourceNamespace: namespace},
		ACMEOptions: controller.ACMEOptions{
			HTTP01SolverImage:                 image,
			HTTP01SolverResourceRequestCPU:    resource.MustParse("10m"),
			HTTP01SolverResourceRequestMemory: resource.MustParse("64Mi"),
			HTTP01SolverResourceLimitsCPU:     resource.MustParse("100m"),
			HTTP01SolverResourceLimitsMemory:  resource.MustParse("64Mi"),
			ACMEHTTP01SolverRunAsNonRoot:      true,
			DNS01CheckRetryPeriod:             10 * time.Second,
		},
		IngressShimOptions: controller.IngressShimOptions{
			DefaultIssuerKind:                 "Issuer",
			DefaultIssuerGroup:                "cert-manager.io",
			DefaultAutoCertificateAnnotations: []string{"kubernetes.io/tls-acme"},
		},
		CertificateOptions: controller.CertificateOptions{
			CertificateRequestMinimumBackoffDuration: time.Hour,
			CertificateRequestMaximumBackoffDuration: 32 * time.Hour,
		},
		SchedulerOptions: controller.SchedulerOptions{MaxConcurrentChallenges: 60},
	}
	if nameserver != "" {
		given.HTTP01SolverNameservers = []string{nameserver}
	}
	return given
}

func exitOn(err error) {
	if err != nil {
		klog.ErrorS(err, "cert-manager cannot start")
		os.Exit(1)
	}
}
