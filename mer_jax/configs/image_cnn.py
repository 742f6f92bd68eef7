r"""The image-based CNN that STRCN's Tables II (LOSO) and III (LOVO) compare with, on CASME II.

VGG16 on single frames; a sequence gets the class of most of its frames. Published: accuracy 0.444,
F1 0.428 (LOSO); 0.564, 0.507 (LOVO), of a network pre-trained on VGG-Face, whose weights are not at
hand: here it starts from random ones. Rate, epochs and batches are ours: SGD, 1e-3.
Time: days on 2 CPU cores.
  mer-jax run image_cnn \
      --config.data.root="CASME II" --workdir=runs/image_cnn
LOVO: --config.protocol.name=lovo. ImageNet's VGG16: mer-jax convert-weights --network=vgg16
--from=vgg16.pth --to=imagenet, then --config.train.init_from=imagenet; its inputs were standardized
by ImageNet's mean and deviation, ours are by the training clips' (method frames).
"""

from mer_jax import configuration


def get_config():
    return configuration.make(
        title="Image CNN",
        data=dict(name="casme2", label_scheme="strcn4"),
        method="frames",
        model="image_cnn",
        train=dict(
            epochs=30,
            batch_size=32,
            learning_rate=1e-3,
            optimizer="sgd",
            momentum=0.9,
            weight_decay=5e-4,
        ),
    )
