# Builds that use each other's artifacts: a base image, an application image
# made from it, and a file that says what was made.
#
#   ingot build examples/pipeline
#   ingot build -only 'app.*' examples/pipeline     # builds the base as well
#
# Packer does not understand build.BLOCK.artifact (docs/language.md).

variable "image" {
  type        = string
  default     = "debian:12"
  description = "What the base image is made from."
}

variable "pull" {
  type        = bool
  default     = true
  description = "Pull that image first; false takes the one the engine has."
}

variable "repository" {
  type        = string
  default     = "ingot-example/pipeline"
  description = "Name of the application's image."
}

variable "output_dir" {
  type        = string
  default     = "output-pipeline"
  description = "Folder for the file that says what was made."
}

source "docker" "base" {
  image  = var.image
  pull   = var.pull
  commit = true
}

source "docker" "app" {
  image   = build.base.artifact.id
  pull    = false # it was made here
  commit  = true
  changes = ["ENTRYPOINT [\"cat\", \"/srv/app\"]"]
}

source "file" "made" {
  target = "${var.output_dir}/made.txt"
  content = join("\n", [
    "base ${build.base.artifact.id}",
    "app ${build.app.artifact.id} from ${build.app.artifacts["docker.app"].images[0].parent}",
    "",
  ])
}

# The order in the file does not matter: this build runs last, since it needs
# the other two.
build {
  name    = "made"
  sources = ["source.file.made"]
}

build {
  name    = "app"
  sources = ["source.docker.app"]

  provisioner "shell" {
    inline = [
      "grep -q base /srv/base",
      "echo 'the app, on ${build.base.artifact.id}' > /srv/app",
    ]
  }

  # The artifact of this build is the first that it ends with: the image, which
  # docker-tag keeps, before its name.
  post-processor "docker-tag" {
    repository = var.repository
    tags       = ["latest"]
  }
}

build {
  name    = "base"
  sources = ["source.docker.base"]

  provisioner "shell" {
    inline = ["mkdir -p /srv", "echo base > /srv/base"]
  }
}
