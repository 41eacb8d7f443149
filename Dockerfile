# The product's images: one static program each, nothing else to patch.
#
# The context is a folder with the programs, built for x86_64-unknown-linux-gnu with +crt-static:
#
#   docker build --target runtime --build-arg VERSION=0.1.0 --tag goodgo/runtime:0.1.0 --file Dockerfile dist
#
# `make demo` fills such a folder from the host's compiler. Who has none lets Dockerfile.build fill it:
#
#   docker build --file Dockerfile.build --output dist .
#
# There is no date in the images; SOURCE_DATE_EPOCH (BuildKit) or --timestamp (buildah) pins that of the files.

FROM scratch AS common
ARG VERSION=dev
LABEL org.opencontainers.image.vendor="GoodGo" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
# Any number does, as long as it is not root: Pod Security "restricted" wants it, and there is no passwd file to name it.
USER 65532:65532

FROM common AS operator
LABEL org.opencontainers.image.title="goodgo-operator" \
      org.opencontainers.image.description="Turns one GoodGoService into everything such a service needs, and keeps it so"
COPY goodgo-operator /goodgo-operator
ENTRYPOINT ["/goodgo-operator"]

FROM common AS runtime
LABEL org.opencontainers.image.title="goodgo-runtime" \
      org.opencontainers.image.description="The communication runtime beside each service"
COPY goodgo-runtime /goodgo-runtime
ENTRYPOINT ["/goodgo-runtime"]

FROM common AS demo
LABEL org.opencontainers.image.title="goodgo-demo-service" \
      org.opencontainers.image.description="A small service that serves the GoodGo platform's endpoints"
COPY demo /demo
ENTRYPOINT ["/demo"]
