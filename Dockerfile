# The steps of the README and docs/serve.md, on a plain Python: docker build -t lookalike .
FROM python:3.11-slim
WORKDIR /lookalike
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
COPY . .
RUN pip install --no-cache-dir '.[serve,export]'
EXPOSE 8000
ENTRYPOINT ["lookalike", "serve", "/index", "--host", "0.0.0.0"]
